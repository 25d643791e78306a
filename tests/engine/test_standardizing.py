"""What the NumPy engine makes of stored examples, where it standardizes them itself."""

import math

import numpy as np
import pytest

from backprop_cli.engine.standardizing import Standardizing
from backprop_cli.sources import ImageLayout, Standardization
from tests.exact import exact, standardized, statistics
from tests.make import split


def standardizing(standardization, dtype="float32", image=None):
    """Return examples as they are to be; nothing is folded into W."""
    return Standardizing(standardization, image, np.dtype(dtype), None, 1)


def plain(d, image):
    """Return examples as they are stored, but for the mirroring."""
    return standardizing(Standardization(np.zeros(d), np.ones(d)), image=image)


DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gathering_is_subtracting_the_mean_and_dividing_by_the_spread(source, dtype):
    rng = np.random.default_rng(2)
    features = rng.integers(0, 2 if source == "?" else 120, (40, 6)).astype(source)
    if source == "?":
        features = features.astype(np.uint8)  # as the reader makes them
    expected = features.astype(float)
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
    tolerance = 3e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(standardized(features, dtype), expected, atol=tolerance)


OFFSETS = {
    "f4 around a million": (1e6 + np.arange(1000)[:, None] % 8 / 16).astype("f4"),
    "f4 around 2^24": (2.0**24 + 2 * (np.arange(1000)[:, None] % 2)).astype("f4"),
    "f4 of 100 +- 0.001": (100 + np.arange(1000)[:, None] % 128 * 2.0**-17).astype("f4"),
    "u2 around 60000": (60000 + np.arange(1000)[:, None] % 3).astype("u2"),
    "i2 around -30000": (-30000 + np.arange(1000)[:, None] % 3).astype("i2"),
    "i4 around 10^9": (10**9 + np.arange(1000)[:, None] % 3).astype("i4"),
    "f8 around 10^9": 1e9 + np.arange(1000)[:, None] % 7 / 8,
}


@pytest.mark.parametrize("name", OFFSETS)
def test_a_large_mean_costs_no_digits_of_a_batch(name):
    features = OFFSETS[name]
    mean, std = exact(features[:, 0])
    expected = (features.astype(float) - mean) / std
    np.testing.assert_allclose(standardized(features, "float32"), expected, atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e-42), (-3e38, 3e38)])
def test_features_at_the_ends_of_their_type_become_plus_and_minus_one(low, high):
    """A step between may leave the type's range; the result does not."""
    features = np.array([[low], [high]] * 8, np.float32)
    found = standardized(features, "float32")
    np.testing.assert_allclose(found, [[-1.0], [1.0]] * 8, rtol=1e-3)


def test_nine_low_and_one_high():
    features = np.array([[-3e38]] * 9 + [[3e38]], np.float32)
    np.testing.assert_allclose(
        standardized(features, "float32"), [[-1 / 3]] * 9 + [[3.0]], rtol=1e-5
    )


def test_memory_is_used_again_and_never_grows_stale():
    features = np.arange(30).reshape(10, 3).astype(np.uint8)
    source = split(features).source
    examples = plain(3, None).examples
    first = examples(source.block(np.array([0, 1, 2, 3])))
    second = examples(source.block(np.array([9, 9])))
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second, features[[9, 9]])
    other = split(features.astype(np.float64) / 7).source  # another type comes along
    np.testing.assert_allclose(examples(other.block(np.array([5]))), features[[5]] / 7, rtol=1e-6)
    np.testing.assert_array_equal(examples(source.block(np.arange(10))), features)  # more of them
    assert examples(source.block(np.array([], int))).shape == (0, 3)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 5, 4), (3, 2, 1), (2, 1, 7)])
def test_mirroring_reverses_each_row_of_each_plane(shape, interleaved):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, *shape), dtype=np.uint8)
    size = math.prod(shape)
    mirrored = rng.random(9) < 0.5
    rows = rng.permutation(9)
    stored = images.transpose(0, 2, 3, 1) if interleaved else images
    block = split(stored.reshape(9, -1)).source.block(rows, mirrored)
    channels, height, width = shape
    found = plain(size, ImageLayout(channels, height, width, interleaved)).examples(block)
    if interleaved:
        found = found.reshape(9, *shape[1:], shape[0]).transpose(0, 3, 1, 2)
    found = found.reshape(9, *shape)
    for image, row, flip in zip(found, rows, mirrored, strict=True):
        np.testing.assert_array_equal(image, np.flip(images[row], axis=2) if flip else images[row])


def test_a_mirrored_image_is_standardized_where_its_pixels_land():
    images, image = np.array([[0, 10], [20, 30], [40, 80]], np.uint8), ImageLayout(1, 1, 2)
    found = statistics(images, "per_feature", image)
    block = split(images).source.block(np.arange(3), np.array([True, False, True]))
    examples = standardizing(found, "float64", image).examples(block)
    expected = (images[:, ::-1] - found.mean) / found.std
    np.testing.assert_allclose(examples[[0, 2]], expected[[0, 2]])


def test_mirroring_changes_no_data():
    images = np.arange(24, dtype=np.uint8).reshape(2, 12)
    before = images.copy()
    block = split(images).source.block(np.array([0, 1]), np.array([True, True]))
    plain(12, ImageLayout(3, 2, 2)).examples(block)
    np.testing.assert_array_equal(images, before)
