"""One pass over a data set: statistics, what is not finite, and the fingerprint."""

import dataclasses
import importlib

import numpy as np
import pytest

from backprop_cli.errors import DataError
from backprop_cli.sources import (
    Dataset,
    ImageLayout,
    Source,
    Split,
    Standardization,
    check_features,
    survey,
)
from tests.make import dataset, split

module = importlib.import_module("backprop_cli.sources.survey")
DTYPES = ["uint8", "int16", "float16", "float32", "float64"]


@pytest.fixture(params=[None, 1, 1000], ids=["one chunk", "a row at a time", "some rows"])
def chunks(request, monkeypatch):
    """Read in chunks of another size: 1000 bytes are a few rows."""
    if request.param is not None:
        monkeypatch.setattr(module, "CHUNK_BYTES", request.param)


def features_of(dtype, n=300, d=37, seed=0):
    rng = np.random.default_rng(seed)
    drawn = rng.normal(60, 20, (n, d)) * rng.uniform(0.2, 1.0, d)
    return np.clip(drawn, 0, 255).astype(dtype)


def several_sources(dtype):
    """Return a data set whose test split has a file of its own, and its training rows."""
    features = features_of(dtype)
    rows = np.random.default_rng(1).permutation(300)
    train, validation = np.sort(rows[:170]), np.sort(rows[170:250])
    both = Source(features, np.arange(300) % 3, "train.npy")
    other = split(features_of(dtype, 90, seed=2), np.arange(90) % 3)
    return Dataset(Split(both, train), Split(both, validation), other, tuple("abc")), train


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_are_numpys_in_float64_over_the_training_rows(dtype):
    data, rows = several_sources(dtype)
    found = survey(data, "per_feature", "float32").standardization
    own = data.train.features[rows].astype(np.float64)
    np.testing.assert_allclose(found.mean, own.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.std, own.std(axis=0), rtol=1e-12)
    if dtype == "uint8":  # sums of bytes are exact, whatever the chunks
        np.testing.assert_array_equal(found.mean, own.sum(axis=0) / len(rows))


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_channels_statistics_are_over_its_pixels(dtype, interleaved):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 250, (40, 3, 4, 5)) * np.array([1, 0.5, 0.2]).reshape(3, 1, 1)
    images = images.astype(dtype)
    stored = (images.transpose(0, 2, 3, 1) if interleaved else images).reshape(40, -1)
    rows = np.arange(0, 40, 3)
    data = dataset(split(stored, rows=rows, image=ImageLayout(3, 4, 5, interleaved)))
    found = survey(data, "per_channel", "float64").standardization
    for array, expected in (
        (found.mean, images[rows].astype(float).mean(axis=(0, 2, 3))),
        (found.std, images[rows].astype(float).std(axis=(0, 2, 3))),
    ):
        if interleaved:
            by_pixel = np.broadcast_to(expected, (20, 3)).ravel()
        else:
            by_pixel = np.repeat(expected, 20)
        np.testing.assert_allclose(array, by_pixel, rtol=1e-12)


def test_none_and_a_models_standardization():
    data, _ = several_sources("uint8")
    found = survey(data, "none", "float32").standardization
    np.testing.assert_array_equal(found.mean, np.zeros(37))
    np.testing.assert_array_equal(found.std, np.ones(37))
    given = Standardization(np.full(37, 3.0), np.full(37, 2.0))
    assert survey(data, given, "float32").standardization is given


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (299, 36), (131, 17)])
@pytest.mark.parametrize("where", ["train", "test"])
def test_what_is_not_finite_is_named_by_row_and_column(dtype, value, row, column, where):
    """In a row that any split has, or none: it is looked for in the whole file."""
    data, _ = several_sources(dtype)
    if where == "test":
        data = dataclasses.replace(data, test=split(features_of(dtype, seed=3)))
    data.split(where).features[row, column] = value
    with pytest.raises(DataError) as refusal:
        survey(data, "per_feature", "float32")
    name = data.split(where).source.name
    assert str(refusal.value) == (
        f"{name}: features[{row}, {column}] is {value}, expected numbers that are finite in float32"
    )


def test_the_range_of_any_halves_is_that_of_their_values():
    """All that there are; 0 and -0 are one value."""
    halves = np.arange(65_536, dtype=np.uint16).view(np.float16)
    finite = np.random.default_rng(0).permutation(halves[np.isfinite(halves)])
    for x in (finite.reshape(-1, 1), finite[:63_000].reshape(2, 31_500), finite.reshape(1, -1)):
        found = module.Range(np.dtype("float32"), lambda row: ("file", row))
        found.add(x)
        np.testing.assert_array_equal(found.low, x.astype(float).min(axis=0))
        np.testing.assert_array_equal(found.high, x.astype(float).max(axis=0))
    for value in halves[~np.isfinite(halves)]:  # NaN of both signs, with any bits
        x = np.array([[1, 2], [3, value], [-1, 0]], np.float16)
        with pytest.raises(DataError, match=r"file: features\[1, 1\]"):
            module.Range(np.dtype("float32"), lambda row: ("file", row)).add(x)


@pytest.mark.usefixtures("chunks")
def test_a_number_that_the_number_type_cannot_hold_is_named():
    data, _ = several_sources("float64")
    data.train.features[7, 5] = -1e39
    with pytest.raises(DataError, match=r"train\.npy: features\[7, 5\] is -1e\+39, .* in float32"):
        survey(data, "none", "float32")
    survey(data, "none", "float64")


def fingerprint(data):
    return survey(data, "none", "float64").fingerprint


def flipped(features, row, column):
    changed = features.copy()
    changed[row, column] = np.nextafter(changed[row, column], np.float32(1e9))
    return changed


CHANGES = {
    "a value": lambda data: dataclasses.replace(
        data, train=split_like(data.train, features=flipped(data.train.features, 200, 3))
    ),
    "a value of test": lambda data: dataclasses.replace(
        data, test=split_like(data.test, features=flipped(data.test.features, 89, 36))
    ),
    "a label": lambda data: dataclasses.replace(
        data, train=split_like(data.train, labels=np.roll(data.train.source.labels, 1))
    ),
    "a row of the split": lambda data: dataclasses.replace(
        data, train=Split(data.train.source, data.train.rows[1:])
    ),
    "a row of validation": lambda data: dataclasses.replace(
        data, validation=Split(data.validation.source, data.validation.rows[1:])
    ),
    "no validation": lambda data: dataclasses.replace(data, validation=None),
    "validation for test": lambda data: dataclasses.replace(
        data, validation=data.test, test=data.validation
    ),
    "a class": lambda data: dataclasses.replace(data, class_names=("a", "b", "d")),
    "the type": lambda data: dataclasses.replace(
        data, test=split_like(data.test, features=data.test.features.astype(np.float64))
    ),
    "the order of an image's numbers": lambda data: dataclasses.replace(
        data, train=split_like(data.train, image=ImageLayout(37, 1, 1, interleaved=True))
    ),
    "the shape": lambda data: dataclasses.replace(
        data, train=split_like(data.train, image=ImageLayout(1, 1, 37))
    ),
}


def split_like(other, **changes):
    return Split(dataclasses.replace(other.source, **changes), other.rows)


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_is_of_all_that_counts(change):
    data, _ = several_sources("float32")
    assert fingerprint(CHANGES[change](data)) != fingerprint(data)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fingerprint_is_not_of_memory_chunks_or_names(dtype):
    data, _ = several_sources(dtype)
    expected = fingerprint(data)
    features = data.train.features
    by_columns = np.asfortranarray(features)
    padded = np.zeros((300, 2 * 37), features.dtype)
    padded[:, ::2] = features
    swapped = features.astype(features.dtype.newbyteorder(">"))
    for same in (by_columns, padded[:, ::2], swapped):
        source = Source(same, data.train.source.labels, "elsewhere.npy")
        train, validation = (Split(source, own.rows) for own in (data.train, data.validation))
        moved = dataclasses.replace(data, train=train, validation=validation)
        assert fingerprint(moved) == expected


def test_the_fingerprint_does_not_depend_on_the_chunks(monkeypatch):
    data, _ = several_sources("float32")
    found = set()
    for size in (1, 1000, 10**9):
        monkeypatch.setattr(module, "CHUNK_BYTES", size)
        found.add(fingerprint(data))
    assert len(found) == 1


def test_a_standardization_that_overflows_float64_is_not_warned_of():
    """As a stranger's model may have it."""
    source = split(np.ones((3, 2))).source
    for mean, std in ((0.0, 1e300), (1.7e308, 1e300)):
        check_features(source, Standardization(np.full(2, mean), np.full(2, std)), "float64")
    own = Standardization(np.full(2, -1.7e308), np.full(2, 1e-3))
    far = split(np.full((3, 2), 1e308)).source
    with pytest.raises(DataError, match="standard deviations from the mean"):
        check_features(far, own, "float64")
