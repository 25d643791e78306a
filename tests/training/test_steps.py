"""When NumPy's steps fold the standardization into W, and when they must not."""

import dataclasses

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.solvers.loop import Observer, Trainer
from backprop_cli.solvers.steps import folded_standardization
from backprop_cli.sources import Dataset, Gatherer, Split, Standardization

PIXELS = Standardization(np.array([120.0, 130.0]), np.array([60.0, 65.0]))
DARK = Standardization(np.array([0.5, 40.0]), np.array([0.6, 80.0]))


@pytest.mark.parametrize(
    ("standardization", "dtype", "subtracted", "mean"),
    [
        (PIXELS, "uint8", 128, [-8, 2]),
        (PIXELS, "int16", 0, [120, 130]),
        (DARK, "uint8", 0, [0.5, 40]),
    ],
)
def test_means_that_are_small_against_the_spread_are_folded(
    standardization, dtype, subtracted, mean
):
    found = folded_standardization(
        standardization, 10, np.empty((1, 2), dtype), np.dtype(np.float32)
    )
    assert found.subtracted == subtracted
    np.testing.assert_allclose(found.mean, mean, rtol=1e-7)
    np.testing.assert_allclose(found.scale, 1 / standardization.std, rtol=1e-7)
    assert found.mean.dtype == found.scale.dtype == np.float32


@pytest.mark.parametrize(
    ("standardization", "n_rows", "features", "dtype"),
    [
        (PIXELS, 10, "uint8", "float64"),  # the reference standardizes its examples
        (PIXELS, 1000, "uint8", "float32"),  # W is larger than a mini-batch
        (PIXELS, 10, "float64", "float32"),  # float32 does not hold the features
        (Standardization(np.array([255.0, 1.0]), np.array([1.0, 1.0])), 10, "uint8", "float32"),
        (Standardization(np.array([6.0, 1.0]), np.array([1.0, 1.0])), 10, "float32", "float32"),
    ],
)
def test_elsewhere_the_examples_are_standardized(standardization, n_rows, features, dtype):
    features = np.empty((1, 2), features)
    assert folded_standardization(standardization, n_rows, features, np.dtype(dtype)) is None


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16", "int64", "float64", "uint64"])
@pytest.mark.parametrize("subtracted", [0, 128])
def test_a_gatherer_that_subtracts_one_number(dtype, subtracted):
    features = np.random.default_rng(0).integers(0, 256, (9, 12)).astype(dtype)
    of_others = Standardization(np.full(12, 3.0), np.full(12, 2.0))  # left to the engine
    gather = Gatherer(of_others, "float32", 4, (3, 2, 2), subtracts=subtracted)
    rows, flips = np.array([8, 0, 3]), np.array([True, False, True])
    expected = features[rows].astype(float)
    expected[flips] = expected[flips].reshape(2, 3, 2, 2)[..., ::-1].reshape(2, 12)
    np.testing.assert_array_equal(gather(features, rows, flips), expected - subtracted)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "float64"])
def test_a_validation_split_of_another_type(dtype):
    """The same numbers as bytes, which are folded, and as others: the same figures."""
    rng = np.random.default_rng(0)
    train = Split(rng.integers(0, 256, (200, 30), np.uint8), np.arange(200) % 4, np.arange(200))
    validation = dataclasses.replace(train, features=train.features.astype(dtype))
    found = {}
    for number_type in ("float32", "float64"):
        config = check_config(
            "data: {format: npy, path: x, labels: y}\ncompute: {backend: numpy}\n"
            f"model: {{dtype: {number_type}}}\ntraining: {{epochs: 2, learning_rate: 0.01}}",
            "test",
        )
        trainer = Trainer(Dataset(train, validation, None, tuple("abcd"), None), [config])
        trainer.run(Observer())
        record = trainer.history[0][-1]
        assert record.validation_accuracy == record.train_accuracy
        found[number_type] = record.validation_loss
    assert found["float32"] == pytest.approx(found["float64"], rel=1e-5)
