"""When NumPy's steps fold the standardization into W, and when they must not."""

import numpy as np
import pytest

from backprop_cli.datasets import Standardization
from backprop_cli.training.steps import folded_standardization

PIXELS = Standardization(np.array([120.0, 130.0]), np.array([60.0, 65.0]))


def test_pixels_are_folded():
    found = folded_standardization(PIXELS, 10, np.empty((1, 2), np.uint8), np.dtype(np.float32))
    mean, scale = found
    np.testing.assert_allclose(mean, [120, 130])
    np.testing.assert_allclose(scale, [1 / 60, 1 / 65], rtol=1e-7)
    assert mean.dtype == scale.dtype == np.float32


@pytest.mark.parametrize(
    ("standardization", "n_rows", "features", "dtype"),
    [
        (PIXELS, 10, "uint8", "float64"),  # the reference standardizes its examples
        (PIXELS, 1000, "uint8", "float32"),  # W is larger than a mini-batch
        (PIXELS, 10, "float64", "float32"),  # float32 does not hold the features
        (Standardization(np.array([255.0, 1.0]), np.array([1.0, 1.0])), 10, "uint8", "float32"),
    ],
)
def test_elsewhere_the_examples_are_standardized(standardization, n_rows, features, dtype):
    features = np.empty((1, 2), features)
    assert folded_standardization(standardization, n_rows, features, np.dtype(dtype)) is None
