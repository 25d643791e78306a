"""Statistics of features, against numbers worked out another way."""

import math

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.formats import load_dataset
from backprop_cli.sources import ImageLayout, survey
from tests.exact import exact, standardized, statistics


def test_worked_by_hand():
    found = statistics([[0, 1], [2, 1], [4, 4], [6, 4]], "per_feature")
    np.testing.assert_allclose(found.mean, [3, 2.5], rtol=1e-15)
    np.testing.assert_allclose(found.std, [math.sqrt(5), 1.5], rtol=1e-15)


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e6, 1e9, -1e9])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_a_small_spread_on_a_large_offset(offset, spread):
    """A sum of n numbers is off by some units in the last place of their size, no more."""
    rng = np.random.default_rng(3)
    features = offset + spread * rng.standard_normal((3000, 2))
    found = statistics(features, "per_feature")
    for column in range(2):
        mean, std = exact(features[:, column])
        rounding = 64 * math.ulp(max(abs(offset), spread))
        assert abs(found.mean[column] - mean) <= rounding
        assert found.std[column] == pytest.approx(std, rel=1e-12 + (rounding / spread) ** 2)


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.1, -1e-300, 0.0, 255.0, 1e300])
@pytest.mark.parametrize("n", [1, 7, 1000])
def test_a_constant_feature_becomes_zero_exactly(value, n):
    features = np.column_stack([np.full(n, value), np.arange(n)])
    found = statistics(features, "per_feature")
    assert (found.mean[0], found.std[0]) == (value, 1.0)
    assert not standardized(features, "float64")[:, 0].any()


@pytest.mark.parametrize("d", [3, 5000])
def test_sums_of_many_bright_bytes_are_exact(d):
    """Their squares add up to more than float32 counts one by one."""
    features = np.random.default_rng(0).integers(200, 256, (5000, 3), np.uint8)
    found = statistics(np.tile(features, (1, d // 3 + 1)), "per_feature")
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
    rows = load_dataset(check_config(text, "t").data).train.rows
    others = np.setdiff1d(np.arange(200), rows)
    x[others] *= 1e6
    np.savez(tmp_path / "d.npz", x=x, y=y)
    found = load_dataset(check_config(text, "t").data)
    np.testing.assert_array_equal(found.train.rows, rows)
    own = survey(found, "per_feature", "float64").standardization
    for column in range(3):
        mean, std = exact(x[rows, column])
        assert own.mean[column] == pytest.approx(mean, abs=1e-14)
        assert own.std[column] == pytest.approx(std, rel=1e-13)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_per_channel_is_over_every_pixel_of_every_image(dtype):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (30, 3, 4, 5)) * np.array([1, 2, 3]).reshape(3, 1, 1) // 3
    images = images.astype(dtype)
    found = statistics(images.reshape(30, -1), "per_channel", ImageLayout(3, 4, 5))
    for channel in range(3):
        mean, std = exact(images[:, channel].ravel())
        np.testing.assert_allclose(found.mean.reshape(3, 20)[channel], mean, rtol=1e-14)
        np.testing.assert_allclose(found.std.reshape(3, 20)[channel], std, rtol=1e-14)


def test_per_channel_where_each_pixel_is_constant_but_the_channel_is_not():
    images = np.broadcast_to(np.arange(4.0), (6, 4)).copy()
    found = statistics(images, "per_channel", ImageLayout(1, 2, 2))
    np.testing.assert_allclose(found.mean, 1.5)
    np.testing.assert_allclose(found.std, math.sqrt(1.25))


def test_per_channel_where_one_channel_is_constant():
    images = np.zeros((6, 2, 3), "uint8")
    images[:, 1] = np.arange(6)[:, None]
    found = statistics(images.reshape(6, 6), "per_channel", ImageLayout(2, 1, 3))
    np.testing.assert_array_equal(found.std[:3], 1)
    image = ImageLayout(2, 1, 3)
    assert not standardized(images.reshape(6, 6), "float32", "per_channel", image)[:, :3].any()


def test_per_channel_needs_images():
    with pytest.raises(DataError, match="per_channel needs images"):
        statistics(np.eye(3), "per_channel")


def test_none_leaves_features_as_they_are():
    features = np.arange(12, dtype=np.uint8).reshape(4, 3)
    np.testing.assert_array_equal(standardized(features, "float32", "none"), features)


@pytest.mark.parametrize("kind", ["per_feature", "per_channel"])
def test_a_spread_that_is_not_finite_is_one_line(kind):
    features = np.array([[1e200, -1e200, 1.0, 2.0], [-1e200, 1e200, 3.0, 4.0]] * 3)
    with pytest.raises(DataError, match="not finite"):
        statistics(features, kind, ImageLayout(2, 1, 2))


def test_per_channel_means_that_are_far_apart_are_one_line():
    features = np.array([[1e200, -1e200, 1.0, 2.0]] * 3)
    with pytest.raises(DataError, match="not finite"):
        statistics(features, "per_channel", ImageLayout(2, 1, 2))
