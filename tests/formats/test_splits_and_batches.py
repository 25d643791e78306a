"""Splits, standardization, mini-batches: from their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_cli.config import check_config
from backprop_cli.datasets import (
    Dataset,
    Gatherer,
    Split,
    Standardization,
    epoch_flips,
    epoch_order,
    fit_standardization,
    load_dataset,
)
from backprop_cli.datasets.splits import draw
from backprop_cli.errors import DataError


def load(*overrides):
    text = "data: {format: synthetic, examples: 500, size: 4, classes: 3}"
    return load_dataset(check_config(text, "test", overrides).data, "float32")


def dataset(features, image_shape=None, rows=None):
    features = np.asarray(features)
    rows = np.arange(len(features)) if rows is None else np.array(rows)
    labels = np.arange(len(features)) % 2
    return Dataset(Split(features, labels, rows), None, None, ("a", "b"), image_shape)


@pytest.mark.parametrize(
    ("validation", "test", "sizes"),
    [(100, 50, (350, 100, 50)), (0.1, 0.5, (200, 50, 250)), (0, 0, (500, None, None)),
     (0.2, "null", (300, 100, 100))],
)  # fmt: skip
@pytest.mark.parametrize("stratified", ["true", "false"])
def test_splits_share_nothing_and_leave_nothing_out(validation, test, sizes, stratified):
    found = load(
        f"data.validation={validation}", f"data.test={test}", f"data.stratified={stratified}"
    )
    splits = [found.train, found.validation, found.test]
    assert tuple(None if s is None else len(s) for s in splits) == sizes
    rows = np.concatenate([s.rows for s in splits if s is not None])
    assert sorted(rows.tolist()) == list(range(500))


def test_splits_depend_on_the_seed_alone():
    again = [load("data.validation=50").validation.rows for _ in range(2)]
    np.testing.assert_array_equal(*again)
    other = load("data.validation=50", "data.seed=1").validation.rows
    assert again[0].tolist() != other.tolist()


def test_limit_takes_training_examples_only():
    whole, limited = load(), load("data.limit=30")
    assert len(limited.train) == 30
    assert set(limited.train.rows) <= set(whole.train.rows)
    np.testing.assert_array_equal(limited.test.rows, whole.test.rows)
    assert len(load("data.limit=100000").train) == len(whole.train)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=80), st.data(), st.integers(0, 1000))
def test_a_stratified_draw_keeps_proportions_to_one_example(labels, data, seed):
    labels = np.array(labels)
    size = data.draw(st.integers(1, len(labels) - 1))
    rng = np.random.default_rng(seed)
    drawn, rest = draw(np.arange(len(labels)), labels, size, rng, stratified=True)
    assert len(drawn) == size
    assert sorted([*drawn, *rest]) == list(range(len(labels)))
    for label in set(labels.tolist()):
        share = (labels == label).sum() * size / len(labels)
        assert abs((labels[drawn] == label).sum() - share) < 1


@pytest.mark.parametrize("override", ["data.validation=500", "data.test=499", "data.test=0.0001"])
def test_an_empty_split_is_refused(override):
    with pytest.raises(DataError, match="leaves"):
        load(override)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_standardization_is_that_of_the_training_rows(dtype):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 200, (700, 5)).astype(dtype)
    rows = rng.permutation(700)[:300]
    found = fit_standardization(dataset(features, rows=np.sort(rows)), "per_feature")
    expected = features[rows].astype(float)
    np.testing.assert_allclose(found.mean, expected.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.std, expected.std(axis=0), rtol=1e-13)


def test_a_constant_feature_becomes_zero():
    features = np.column_stack([np.full(1000, 0.1), np.arange(1000)])
    found = fit_standardization(dataset(features), "per_feature")
    assert (found.mean[0], found.std[0]) == (0.1, 1.0)
    x = Gatherer(found, "float64", 1000)(features, np.arange(1000))
    assert not x[:, 0].any()


def test_a_large_mean_costs_no_digits():
    spread = np.random.default_rng(0).standard_normal((5000, 1))
    found = fit_standardization(dataset(1e9 + spread), "per_feature")
    np.testing.assert_allclose(found.std, (1e9 + spread).std(axis=0), rtol=1e-6)
    x = Gatherer(found, "float32", 5000)(1e9 + spread, np.arange(5000))
    np.testing.assert_allclose(x.std(), 1.0, rtol=1e-5)


def test_per_channel_is_over_all_pixels_of_a_channel():
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 5), dtype=np.uint8)
    found = fit_standardization(dataset(images.reshape(40, -1), (3, 4, 5)), "per_channel")
    np.testing.assert_allclose(found.mean.reshape(3, 20).T, [images.mean(axis=(0, 2, 3))] * 20)
    np.testing.assert_allclose(found.std.reshape(3, 20).T, [images.std(axis=(0, 2, 3))] * 20)


@pytest.mark.parametrize("source", ["uint8", "int8", "int32", "float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gathering_standardizes(source, dtype):
    rng = np.random.default_rng(1)
    features = rng.integers(0, 100, (50, 7)).astype(source)
    standardization = Standardization(rng.uniform(0, 100, 7), rng.uniform(1, 9, 7))
    gather = Gatherer(standardization, dtype, 20)
    for rows in (np.array([3, 3, 49, 0]), np.arange(20), np.array([7])):
        expected = (features[rows].astype(float) - standardization.mean) / standardization.std
        found = gather(features, rows)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_flips_mirror_left_and_right():
    images = np.arange(2 * 3 * 2 * 4, dtype=np.uint8).reshape(2, 3, 2, 4)
    gather = Gatherer(Standardization(np.zeros(24), np.ones(24)), "float32", 2, (3, 2, 4))
    found = gather(images.reshape(2, -1), np.array([0, 1]), np.array([False, True]))
    np.testing.assert_array_equal(found[0].reshape(3, 2, 4), images[0])
    np.testing.assert_array_equal(found[1].reshape(3, 2, 4), np.flip(images[1], axis=2))


def test_order_and_flips_depend_on_seed_and_epoch_alone():
    rows = np.arange(100, 200)
    first = epoch_order(rows, 1, 5)
    np.testing.assert_array_equal(first, epoch_order(rows, 1, 5))
    assert sorted(first) == rows.tolist()
    others = [epoch_order(rows, 1, 6), epoch_order(rows, 2, 5)]
    assert all(other.tolist() != first.tolist() for other in others)
    flips = epoch_flips(10_000, 1, 5)
    np.testing.assert_array_equal(flips, epoch_flips(10_000, 1, 5))
    assert 0.47 < flips.mean() < 0.53  # six standard deviations
