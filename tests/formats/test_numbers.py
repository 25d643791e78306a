"""Standardization and mini-batches, against numbers worked out another way."""

import math
from fractions import Fraction

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.formats import load_dataset
from backprop_cli.sources import (
    Dataset,
    Gatherer,
    Split,
    Standardization,
    epoch_flips,
    epoch_order,
    fit_standardization,
)


def dataset(features, image_shape=None, rows=None):
    features = np.asarray(features)
    rows = np.arange(len(features)) if rows is None else np.asarray(rows)
    split = Split(features, np.arange(len(features)) % 2, rows)
    return Dataset(split, None, None, ("a", "b"), image_shape)


def exact(column):
    """Return mean and standard deviation of numbers, rounded once."""
    numbers = [Fraction(float(value)) for value in column]
    mean = sum(numbers) / len(numbers)
    variance = sum((x - mean) ** 2 for x in numbers) / len(numbers)
    return float(mean), math.sqrt(variance)


def standardized(features, dtype, kind="per_feature", image_shape=None):
    data = dataset(features, image_shape)
    gather = Gatherer(fit_standardization(data, kind), dtype, len(features))
    return gather(data.train.features, data.train.rows).copy()


def test_worked_by_hand():
    found = fit_standardization(dataset([[0, 1], [2, 1], [4, 4], [6, 4]]), "per_feature")
    np.testing.assert_allclose(found.mean, [3, 2.5], rtol=1e-15)
    np.testing.assert_allclose(found.std, [math.sqrt(5), 1.5], rtol=1e-15)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e6, 1e9, -1e9])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_a_small_spread_on_a_large_offset(offset, spread):
    """A sum of n numbers is off by some units in the last place of their size, no more."""
    rng = np.random.default_rng(3)
    features = offset + spread * rng.standard_normal((3000, 2))
    found = fit_standardization(dataset(features), "per_feature")
    for column in range(2):
        mean, std = exact(features[:, column])
        rounding = 64 * math.ulp(max(abs(offset), spread))
        assert abs(found.mean[column] - mean) <= rounding
        assert found.std[column] == pytest.approx(std, rel=1e-12 + (rounding / spread) ** 2)


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, -1e-300, 0.0, 255.0, 1e300])
@pytest.mark.parametrize("n", [1, 7, 1000])
def test_a_constant_feature_becomes_zero_exactly(value, n):
    features = np.column_stack([np.full(n, value), np.arange(n)])
    found = fit_standardization(dataset(features), "per_feature")
    assert (found.mean[0], found.std[0]) == (value, 1.0)
    assert not standardized(features, "float64")[:, 0].any()


@pytest.mark.parametrize("d", [3, 5000])
def test_sums_of_many_bright_bytes_are_exact(d):
    """Their squares add up to more than float32 counts one by one."""
    features = np.random.default_rng(0).integers(200, 256, (5000, 3), np.uint8)
    found = fit_standardization(dataset(np.tile(features, (1, d // 3 + 1))), "per_feature")
    for column in range(3):
        mean, std = exact(features[:, column])
        assert found.mean[column] == mean
        assert found.std[column] == pytest.approx(std, rel=1e-15)


def test_statistics_are_of_the_training_rows_alone(tmp_path):
    """Held-out rows of the same file, and rows beyond the limit, are a million times larger."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 3)), np.arange(200) % 2
    text = (
        f"data: {{format: npy, path: '{tmp_path}/d.npz', validation: 50, test: 0.25, limit: 60, "
        "stratified: true}"
    )
    np.savez(tmp_path / "d.npz", x=x, y=y)
    rows = load_dataset(check_config(text, "t").data, "float64").train.rows
    others = np.setdiff1d(np.arange(200), rows)
    x[others] *= 1e6
    np.savez(tmp_path / "d.npz", x=x, y=y)
    found = load_dataset(check_config(text, "t").data, "float64")
    np.testing.assert_array_equal(found.train.rows, rows)
    statistics = fit_standardization(found, "per_feature")
    for column in range(3):
        mean, std = exact(x[rows, column])
        assert statistics.mean[column] == pytest.approx(mean, abs=1e-14)
        assert statistics.std[column] == pytest.approx(std, rel=1e-13)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_per_channel_is_over_every_pixel_of_every_image(dtype):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (30, 3, 4, 5)) * np.array([1, 2, 3]).reshape(3, 1, 1) // 3
    images = images.astype(dtype)
    found = fit_standardization(dataset(images.reshape(30, -1), (3, 4, 5)), "per_channel")
    for channel in range(3):
        mean, std = exact(images[:, channel].ravel())
        np.testing.assert_allclose(found.mean.reshape(3, 20)[channel], mean, rtol=1e-14)
        np.testing.assert_allclose(found.std.reshape(3, 20)[channel], std, rtol=1e-14)


def test_per_channel_where_each_pixel_is_constant_but_the_channel_is_not():
    images = np.broadcast_to(np.arange(4.0), (6, 4)).copy()
    found = fit_standardization(dataset(images, (1, 2, 2)), "per_channel")
    np.testing.assert_allclose(found.mean, 1.5)
    np.testing.assert_allclose(found.std, math.sqrt(1.25))


def test_per_channel_where_one_channel_is_constant():
    images = np.zeros((6, 2, 3), "uint8")
    images[:, 1] = np.arange(6)[:, None]
    found = fit_standardization(dataset(images.reshape(6, 6), (2, 1, 3)), "per_channel")
    np.testing.assert_array_equal(found.std[:3], 1)
    assert not standardized(images.reshape(6, 6), "float32", "per_channel", (2, 1, 3))[:, :3].any()


def test_per_channel_needs_images():
    with pytest.raises(DataError, match="per_channel needs images"):
        fit_standardization(dataset(np.eye(3)), "per_channel")


def test_none_leaves_features_as_they_are():
    features = np.arange(12, dtype=np.uint8).reshape(4, 3)
    np.testing.assert_array_equal(standardized(features, "float32", "none"), features)


@pytest.mark.parametrize("kind", ["per_feature", "per_channel"])
def test_a_spread_that_is_not_finite_is_one_line(kind):
    features = np.array([[1e200, -1e200, 1.0, 2.0], [-1e200, 1e200, 3.0, 4.0]] * 3)
    with pytest.raises(DataError, match="not finite"):
        fit_standardization(dataset(features, (2, 1, 2)), kind)


def test_per_channel_means_that_are_far_apart_are_one_line():
    features = np.array([[1e200, -1e200, 1.0, 2.0]] * 3)
    with pytest.raises(DataError, match="not finite"):
        fit_standardization(dataset(features, (2, 1, 2)), "per_channel")


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


def test_a_buffer_is_reused_and_never_grows_stale():
    features = np.arange(30).reshape(10, 3).astype(np.uint8)
    gather = Gatherer(Standardization(np.zeros(3), np.ones(3)), "float32", 4)
    first = gather(features, np.array([0, 1, 2, 3]))
    second = gather(features, np.array([9, 9]))
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second, features[[9, 9]])
    other = gather(features.astype(np.float64) / 7, np.array([5]))  # another type comes along
    np.testing.assert_allclose(other, features[[5]] / 7, rtol=1e-6)
    assert gather(features, np.array([], int)).shape == (0, 3)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 5, 4), (3, 2, 1), (2, 1, 7)])
def test_flips_mirror_each_row_of_each_plane(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, *shape), dtype=np.uint8)
    size = math.prod(shape)
    gather = Gatherer(Standardization(np.zeros(size), np.ones(size)), "float32", 9, shape)
    flips = rng.random(9) < 0.5
    rows = rng.permutation(9)
    found = gather(images.reshape(9, -1), rows, flips).reshape(9, *shape)
    for image, row, flip in zip(found, rows, flips, strict=True):
        np.testing.assert_array_equal(image, np.flip(images[row], axis=2) if flip else images[row])


def test_a_flipped_image_is_standardized_where_its_pixels_land():
    images = np.array([[0, 10], [20, 30], [40, 80]], np.uint8)
    statistics = fit_standardization(dataset(images, (1, 1, 2)), "per_feature")
    gather = Gatherer(statistics, "float64", 3, (1, 1, 2))
    found = gather(images, np.arange(3), np.array([True, False, True]))
    expected = (images[:, ::-1] - statistics.mean) / statistics.std
    np.testing.assert_allclose(found[[0, 2]], expected[[0, 2]])


def test_flipping_changes_no_data():
    images = np.arange(24, dtype=np.uint8).reshape(2, 12)
    before = images.copy()
    gather = Gatherer(Standardization(np.zeros(12), np.ones(12)), "float32", 2, (3, 2, 2))
    gather(images, np.array([0, 1]), np.array([True, True]))
    np.testing.assert_array_equal(images, before)


def test_an_epoch_has_every_row_once_in_an_order_of_its_own():
    rows = np.array([3, 5, 8, 9, 20, 31, 44, 57])
    orders = {
        (seed, epoch): tuple(epoch_order(rows, seed, epoch).tolist())
        for seed in range(6) for epoch in range(6)
    }  # fmt: skip
    assert all(sorted(order) == rows.tolist() for order in orders.values())
    assert len(set(orders.values())) == len(orders)  # of 8! orders, 36 differ
    for (seed, epoch), order in reversed(orders.items()):  # drawn again, in another succession
        np.random.default_rng(0).random(5)
        assert tuple(epoch_order(rows, seed, epoch).tolist()) == order
    assert rows.tolist() == [3, 5, 8, 9, 20, 31, 44, 57]


def test_each_place_is_as_likely_for_each_row():
    counts = np.zeros((4, 4))
    for epoch in range(2000):
        counts[np.arange(4), epoch_order(np.arange(4), 7, epoch)] += 1
    assert abs(counts / 2000 - 0.25).max() < 0.05  # five standard deviations


def test_flips_are_drawn_apart_from_the_order():
    flips = [epoch_flips(64, seed, epoch).tolist() for seed in range(3) for epoch in range(3)]
    assert len({tuple(f) for f in flips}) == 9
    assert epoch_flips(64, 1, 1).tolist() == flips[4]
    assert epoch_flips(32, 1, 1).tolist() == flips[4][:32]
