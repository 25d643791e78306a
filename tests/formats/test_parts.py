"""Training, validation and test parts, as a config asks for them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.formats import load_dataset

SETTINGS = settings(derandomize=True, deadline=None, max_examples=50)
N = 300
COUNTS = np.array([150, 90, 45, 15])  # of each class: 50, 30, 15, 5 %


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), COUNTS))
    path = tmp_path_factory.mktemp("parts") / "d.npz"
    np.savez(path, x=np.arange(N)[:, None], y=labels)
    return path


def load(path, **keys):
    mapping = {"validation": 0, "test": 0, **keys}
    more = "".join(f", {key}: {value}" for key, value in mapping.items())
    return load_dataset(check_config(f"data: {{format: npy, path: '{path}'{more}}}", "t").data)


def sizes(found):
    parts = (found.train, found.validation, found.test)
    return tuple(0 if part is None else len(part) for part in parts)


def test_parts_share_no_example_and_together_are_all(archive):
    @SETTINGS
    @given(st.integers(0, 140), st.integers(0, 140), st.booleans(), st.integers(0, 99))
    def check(validation, test, stratified, seed):
        found = load(archive, validation=validation, test=test, stratified=str(stratified).lower(),
                     seed=seed)  # fmt: skip
        parts = [p for p in (found.train, found.validation, found.test) if p is not None]
        values = np.concatenate([p.features[p.rows, 0] for p in parts])
        assert sorted(values.tolist()) == list(range(N))
        assert sizes(found) == (N - validation - test, validation, test)
        for part in parts:
            assert (np.diff(part.rows) > 0).all()
            np.testing.assert_array_equal(part.own_labels(), part.source.labels[part.rows])

    check()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, (300, 0, 0)),
        ({"validation": 0.1}, (270, 30, 0)),
        ({"validation": 0.1, "test": 0.2}, (210, 30, 60)),  # both of all there are
        ({"validation": 1, "test": 1}, (298, 1, 1)),
        ({"test": "null"}, (240, 0, 60)),  # a fifth, where the format has no test file
        ({"test": "null", "validation": 60}, (180, 60, 60)),
        ({"limit": 10}, (10, 0, 0)),
        ({"limit": 10, "validation": 100, "test": 100}, (10, 100, 100)),
        ({"limit": 300}, (300, 0, 0)),
        ({"limit": 10**9}, (300, 0, 0)),
        ({"validation": 0.999, "limit": 1, "stratified": "true"}, None),  # 300 of 300
        ({"validation": 0.5, "test": 0.5}, None),
        ({"validation": 300}, None),
        ({"validation": 301}, None),
        ({"validation": 10**19}, None),
        ({"validation": 200, "test": 100}, None),
        ({"validation": 0.001}, None),  # 0.3 of an example
        ({"test": 0.001}, None),
        ({"validation": 1e-300}, None),
    ],
)
def test_sizes(archive, keys, expected):
    if expected is None:
        with pytest.raises(DataError, match=r"^data\.(validation|test): ") as refusal:
            load(archive, **keys)
        assert "\n" not in str(refusal.value)
    else:
        assert sizes(load(archive, **keys)) == expected


def test_a_fraction_is_the_count_it_stands_for(archive):
    by_fraction, by_count = load(archive, validation=0.2), load(archive, validation=60)
    np.testing.assert_array_equal(by_fraction.validation.rows, by_count.validation.rows)


@pytest.mark.parametrize("key", ["validation", "test", "limit"])
def test_a_stratified_part_keeps_the_proportions(archive, key):
    found = load(archive, stratified="true", **{key: 100})
    part = found.train if key == "limit" else found.split(key)
    assert np.bincount(part.own_labels()).tolist() == [50, 30, 15, 5]
    if key != "limit":
        assert np.bincount(found.train.own_labels()).tolist() == [100, 60, 30, 10]


def test_a_stratified_part_of_a_stratified_rest(archive):
    found = load(archive, stratified="true", test=100, validation=40, limit=20)
    assert np.bincount(found.test.own_labels()).tolist() == [50, 30, 15, 5]
    assert np.bincount(found.validation.own_labels()).tolist() == [20, 12, 6, 2]
    assert np.bincount(found.train.own_labels()).tolist() == [10, 6, 3, 1]


def test_a_part_drawn_at_random_is_not_the_beginning_of_the_file(archive):
    rows = load(archive, validation=100).validation.rows
    assert 100 < rows.mean() < 200  # the middle of 0 to 299, by eight standard deviations
    assert rows.max() > 250


def test_the_seed_alone_decides(archive):
    def rows(**keys):
        found = load(archive, validation=60, test=60, **keys)
        return found.train.rows.tolist(), found.validation.rows.tolist(), found.test.rows.tolist()

    assert rows(seed=3) == rows(seed=3)
    assert rows() == rows(seed=0)
    assert all(one != other for one, other in zip(rows(seed=3), rows(seed=4), strict=True))


def test_the_test_part_does_not_depend_on_validation_or_limit(archive):
    """Tuning them never moves an example into or out of the test part."""
    tests = [
        load(archive, test=60, validation=validation, limit=limit).test.rows.tolist()
        for validation in (0, 1, 50, 100)
        for limit in ("null", 5, 50)
    ]
    assert all(rows == tests[0] for rows in tests)


def test_held_out_examples_are_in_no_limited_training_part(archive):
    found = load(archive, test=60, validation=60, limit=50)
    assert not set(found.train.rows) & (set(found.test.rows) | set(found.validation.rows))


def test_synthetic_data_is_that_of_its_seed():
    def read(*overrides):
        text = "data: {format: synthetic, examples: 50, size: 5, classes: 3}"
        return load_dataset(check_config(text, "t", overrides).data).train

    first, again, other = read(), read(), read("data.seed=1")
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.source.labels, again.source.labels)
    assert (first.features != other.features).mean() > 0.9
    assert first.features.shape == (50, 75)
    assert first.features.dtype == np.uint8
    assert set(first.source.labels.tolist()) == {0, 1, 2}
    assert read("data.channels=1").features.shape == (50, 25)


@pytest.mark.parametrize("key", ["validation", "test"])
def test_synthetic_data_has_no_files(key):
    data = check_config(f"data: {{format: synthetic, {key}: some_file}}", "t").data
    with pytest.raises(DataError, match=f"data.{key}: expected a count or a fraction"):
        load_dataset(data)


def test_synthetic_data_of_too_few_examples_for_its_classes():
    text = "data: {format: synthetic, examples: 1, size: 2, validation: 0, test: 0}"
    with pytest.raises(DataError, match="two classes"):
        load_dataset(check_config(text, "t").data)
