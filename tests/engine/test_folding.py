"""When the NumPy engine folds the standardization into W, when it must not, and that it may."""

import numpy as np
import pytest

from backprop_cli.engine.numpy_engine import NumpyEngine
from backprop_cli.engine.standardizing import Standardizing, folded_constant
from backprop_cli.losses import LOSSES
from backprop_cli.sources import ImageLayout, Standardization
from tests.make import dataset, descent, split, trained

PIXELS = Standardization(np.array([120.0, 130.0]), np.array([60.0, 65.0]))
DARK = Standardization(np.array([0.5, 40.0]), np.array([0.6, 80.0]))
SINGLE = np.dtype(np.float32)


@pytest.mark.parametrize(
    ("standardization", "dtype", "constant"),
    [(PIXELS, "uint8", 128), (PIXELS, "int16", 0), (DARK, "uint8", 0)],
)
def test_means_that_are_small_against_the_spread_are_folded(standardization, dtype, constant):
    """What is left of the means: -8 and 2 of the pixels', 0.5 and 40 of the dark ones'."""
    assert folded_constant(standardization, np.dtype(dtype), SINGLE, 10) == constant
    folding = Standardizing(standardization, None, SINGLE, np.dtype(dtype), 1)
    assert folding.folds
    W, b = np.array([[[3.0, 5.0]]], np.float32), np.zeros((1, 1), np.float32)
    folded, shifted = folding.parameters(W, b)
    np.testing.assert_allclose(folded, W / standardization.std, rtol=1e-6)
    left = (standardization.mean - constant) / standardization.std
    np.testing.assert_allclose(shifted, [[-W[0, 0] @ left]], rtol=1e-6)
    assert folded.dtype == shifted.dtype == np.float32


def test_float64_is_folded_where_that_is_asked_for():
    args = PIXELS, np.dtype(np.uint8), np.dtype(np.float64), 10
    assert folded_constant(*args, fold_float64=True) == 128
    assert Standardizing(args[0], None, args[2], args[1], 10, fold_float64=True).folds


@pytest.mark.parametrize(
    ("standardization", "n_rows", "features", "dtype"),
    [
        (PIXELS, 10, "uint8", "float64"),  # the reference standardizes its examples
        (PIXELS, 1000, "uint8", "float32"),  # W is larger than a mini-batch
        (PIXELS, 10, "float64", "float32"),  # float32 does not hold the features
        (PIXELS, 10, None, "float32"),  # they are not known
        (Standardization(np.array([255.0, 1.0]), np.array([1.0, 1.0])), 10, "uint8", "float32"),
        (Standardization(np.array([6.0, 1.0]), np.array([1.0, 1.0])), 10, "float32", "float32"),
    ],
)
def test_elsewhere_the_examples_are_standardized(standardization, n_rows, features, dtype):
    features = None if features is None else np.dtype(features)
    assert folded_constant(standardization, features, np.dtype(dtype), n_rows) is None
    plain = Standardizing(standardization, None, np.dtype(dtype), features, n_rows)
    assert not plain.folds
    W, b = np.ones((1, n_rows, 2), dtype), np.ones((1, n_rows), dtype)
    for ours, given in zip(plain.parameters(W, b), (W, b), strict=True):
        np.testing.assert_array_equal(ours, given)
    np.testing.assert_array_equal(plain.gradient(W.copy(), b), W)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16", "int64", "float64", "uint64"])
@pytest.mark.parametrize("constant", [0, 128])
def test_examples_from_which_one_number_is_subtracted(dtype, constant):
    """The training split is of bytes; the examples may be of another split, of another type."""
    d = 12
    statistics = Standardization(np.full(d, constant + 3.0), np.full(d, 2.0))
    folding = Standardizing(statistics, ImageLayout(3, 2, 2), SINGLE, np.dtype(np.uint8), 4)
    features = np.random.default_rng(0).integers(0, 256, (9, d)).astype(dtype)
    rows, mirrored = np.array([8, 0, 3]), np.array([True, False, True])
    expected = features[rows].astype(float)
    expected[mirrored] = expected[mirrored].reshape(2, 3, 2, 2)[..., ::-1].reshape(2, d)
    block = split(features).source.block(rows, mirrored)
    np.testing.assert_array_equal(folding.examples(block), expected - constant)


@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_folded_standardization_is_that_of_the_rows(dtype, outputs):
    """Scores, and the gradient by W from that by the folded W; float32 against float64."""
    M, d, n = 3, 40, 30
    rng = np.random.default_rng(0)
    raw = (rng.integers(0, 256, (n, d)) - (0 if dtype == "uint8" else 100)).astype(dtype)
    mean, std = raw.mean(axis=0, dtype=float), raw.std(axis=0, dtype=float)
    folding = Standardizing(Standardization(mean, std), None, SINGLE, raw.dtype, M * outputs)
    assert folding.folds
    W, b = (rng.standard_normal(s).astype("f4") for s in ((M, outputs, d), (M, outputs)))
    G = rng.standard_normal((M, outputs, n))
    rows = folding.examples(split(raw).block(0, n)).astype(float)
    folded, shifted = (array.astype(float) for array in folding.parameters(W, b))
    x = (raw - mean) / std
    S, found = W @ x.T + b[:, :, None], folded @ rows.T + shifted[:, :, None]
    np.testing.assert_allclose(found, S, atol=2e-5)
    dW = folding.gradient((G @ rows).astype("f4"), G.sum(axis=2).astype("f4"))
    np.testing.assert_allclose(dW, G @ x, atol=2e-5 * np.abs(G @ x).max())


@pytest.mark.parametrize(("dtype", "digits"), [("float32", 3e-6), ("float64", 1e-13)])
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "multiclass_svm"])
@pytest.mark.parametrize("outputs", [None, 1])
def test_an_engine_that_folds_gives_the_sums_of_standardized_examples(loss, outputs, dtype, digits):
    """S = W X + b 1^T and dW = G X^T of the examples themselves, in float64."""
    C, rng = 2 if outputs else 5, np.random.default_rng(0)
    raw, y = rng.integers(0, 256, (30, 40), np.uint8), rng.permutation(30) % C
    data = dataset(split(raw, y))
    models = ({"l2": 0.0, "seed": 1}, {"l2": 0.1, "seed": 2}, {"l2": 1.0, "seed": 3})
    training = descent(
        data, *models, loss=loss, dtype=dtype, single_output=outputs == 1, initial_std=0.5
    )
    W, b = training.state.W, training.state.b
    engine = NumpyEngine(training.stack.task, fold_float64=True)
    sums = engine.sums(W, b, data.train.block(0, 30))
    X = ((raw - raw.mean(axis=0)) / raw.std(axis=0)).T
    S = W.astype(float) @ X + b[:, :, None]
    S = np.concatenate([-S / 2, S / 2], axis=1) if outputs else S
    losses, G = LOSSES[loss].loss_gradient(S, np.eye(C)[:, y][None])
    G = (G[:, 1:] - G[:, :1]) / 2 if outputs else G
    expected = losses.sum(axis=1), G @ X.T, G.sum(axis=2)
    for found, exact in zip((sums.loss, sums.dW, sums.db), expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=0, atol=digits * np.abs(exact).max())


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "float64"])
def test_a_validation_split_of_another_type(dtype):
    """The same numbers as bytes, which are folded, and as others: the same figures."""
    features = np.random.default_rng(0).integers(0, 256, (200, 30), np.uint8)
    labels = np.arange(200) % 4
    data = dataset(split(features, labels), split(features.astype(dtype), labels))
    found = {}
    for number_type in ("float32", "float64"):
        record = trained(data, dtype=number_type).history[0][-1]
        assert record.validation_accuracy == record.train_accuracy
        found[number_type] = record.validation_loss
    assert found["float32"] == pytest.approx(found["float64"], rel=1e-5)
