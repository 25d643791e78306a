"""The certificate holds: the gap is never below the true distance, and not far above it."""

from typing import Any

import numpy as np
import pytest

from backprop_cli.solvers import full_batch, optimality
from backprop_cli.solvers.fixed_weights import FixedWeights
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.optimality import _bias_step, dual_value
from tests.make import dataset, descent, split, to_optimum
from tests.solvers.reference import Cost

# What a gap may be above 10 times the true distance, relative to the cost: the rounding of the
# number type that the search for a dual point computes in.
ROUNDING = {"float32": 1e-6, "float64": 1e-11}
SEEDS = range(60)


def problem(seed):
    """Return a random small data set with settings, and its cost."""
    rng = np.random.default_rng(seed)
    n, d, n_classes = int(rng.integers(5, 100)), int(rng.integers(1, 10)), int(rng.integers(2, 6))
    scales, mean = 10 ** rng.uniform(-1, 0.5, d), rng.standard_normal(d) * rng.choice([0, 1, 5])
    x = (rng.standard_normal((n, d)) * scales + mean).astype("f4")
    noise = rng.gumbel(size=(n, n_classes)) * rng.choice([0.3, 1, 3])
    y = (x @ rng.standard_normal((d, n_classes)) + noise).argmax(axis=1)
    smoothing = float(rng.choice([0, 0, 0.1]))
    weights = rng.uniform(0.1, 5, n_classes)
    if rng.random() < 0.3 and n_classes > 2:
        weights[rng.integers(n_classes)] = 0.0
    weights = np.ones(n_classes) if rng.random() < 0.5 else weights
    v = weights[y]
    if len(set(y)) < 2 or (smoothing == 0 and len(set(y[v > 0])) < 2):
        return problem(seed + 1000)  # nothing to train, or the optimum is 0, at infinity
    settings: dict[str, Any] = {
        "l2": 10 ** rng.uniform(-4, 1),
        "label_smoothing": smoothing,
        "class_weights": None if (weights == 1).all() else [float(w) for w in weights],
        "dtype": str(rng.choice(["float32", "float64"])),
        "single_output": n_classes == 2 and rng.random() < 0.5,
        "standardize": str(rng.choice(["none", "per_feature"])),
    }
    own = x.astype(float)
    if settings["standardize"] == "per_feature":
        own = (own - own.mean(axis=0)) / own.std(axis=0)
    cost = Cost(
        own, y, n_classes, settings["l2"], smoothing=smoothing, v=v,
        single=settings["single_output"],
    )  # fmt: skip
    return dataset(split(x, y), n_classes=n_classes), settings, cost


def check(training, cost, best):
    kept = training.kept(0)
    reached = cost(np.column_stack([kept.W, kept.b]).astype(float))
    found = training.optimality(0, Observer())
    assert found.cost == pytest.approx(reached, rel=1e-9)
    distance = reached - best
    assert found.gap >= distance - 1e-11 * best
    assert found.gap <= 10 * distance + ROUNDING[training.settings.dtype] * reached
    assert found.relative_gap == pytest.approx(found.gap / reached, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gap_is_truthful(seed):
    """At the optimum, near it and far from it."""
    data, settings, cost = problem(seed)
    best = cost(cost.optimum())
    check(to_optimum(data, tolerance=1e-6, **settings), cost, best)
    for epochs in (1, 5, 50):
        training = descent(
            data, **settings, epochs=epochs, batch_size=16, learning_rate=None, momentum=0.9,
            keep="last",
        )  # fmt: skip
        training.run(Observer())
        check(training, cost, best)


def overlapping(n_classes=3, n=80, d=4):
    rng = np.random.default_rng(0)
    y = np.arange(n) % n_classes
    x = rng.standard_normal((n_classes, d))[y] + rng.standard_normal((n, d))
    return x, y, (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("bias", [1.0, 10.0, 1000.0])
def test_a_bias_that_is_far_from_stationary(bias, single):
    n_classes = 2 if single else 3
    x, y, X = overlapping(n_classes)
    cost = Cost(X, y, n_classes, 0.1, single=single)
    training = descent(
        dataset(split(x, y)), l2=0.1, dtype="float64", single_output=single, initial_std=1.0
    )
    W, b = training.state.W[0], training.state.b[0]
    b[0] = bias
    training.selections[0].update(1, None, W, b)
    check(training, cost, cost(cost.optimum()))


@pytest.mark.parametrize("std", [1.0, 100.0])
def test_weights_that_are_far_too_large(std):
    """All probabilities are 0 or 1: the curvature of L is 0."""
    x, y, X = overlapping()
    cost = Cost(X, y, 3, 0.1)
    training = descent(dataset(split(x, y)), l2=0.1, dtype="float64", initial_std=std)
    check(training, cost, cost(cost.optimum()))


@pytest.mark.parametrize("single", [False, True])
def test_where_the_bias_is_stationary_the_gap_is_that_of_the_gradient(single):
    """J - D = |dJ/dW|^2 / (4 lambda), unless so much that p = y is the better dual point."""
    n_classes, l2 = (2 if single else 3), 2.0
    x, y, X = overlapping(n_classes)
    cost = Cost(X, y, n_classes, l2, single=single)
    training = to_optimum(
        dataset(split(x, y)), l2=l2, dtype="float64", single_output=single, tolerance=1e-3
    )
    theta = np.zeros(cost.penalty.shape)
    theta[:, :-1] = 0.1 * np.random.default_rng(1).standard_normal(theta[:, :-1].shape)
    bias = [k for k in range(theta.size) if (k + 1) % theta.shape[1] == 0]
    for _ in range(50):  # Newton's steps of the bias alone
        gradient, H = cost.gradient(theta).ravel()[bias], cost.hessian(theta)[np.ix_(bias, bias)]
        theta[:, -1] -= np.linalg.lstsq(H, gradient, rcond=1e-12)[0]
    dW = cost.gradient(theta)[:, :-1]
    expected = (dW**2).sum() / (4 * l2)
    value = dual_value(training.batch, 0, theta, 0.0)
    assert cost(theta) - value == pytest.approx(expected, rel=1e-8)
    # Another bias is made stationary first: the bound is the same.
    theta[0, -1] += 0.7
    assert dual_value(training.batch, 0, theta, 0.0) == pytest.approx(value, rel=1e-9)


def test_no_dual_value_is_above_the_optimum():
    x, y, X = overlapping()
    cost = Cost(X, y, 3, 0.01)
    best = cost(cost.optimum())
    training = to_optimum(dataset(split(x, y)), l2=0.01, dtype="float64", tolerance=1e-3)
    rng = np.random.default_rng(0)
    for scale in (0, 1e-3, 0.1, 1, 10, 1e3, 1e6):
        for _ in range(5):
            theta = scale * rng.standard_normal(cost.penalty.shape)
            assert 0 <= dual_value(training.batch, 0, theta, 0.0) <= best * (1 + 1e-12)


def test_all_examples_certain_and_right():
    """dL/dW is 0 exactly, and the dual's value 0 up to rounding: there is nothing to divide by."""
    y = np.arange(12) % 3
    training = to_optimum(dataset(split(4 * np.eye(3)[y], y)), l2=0.01, dtype="float64")
    rng = np.random.default_rng(0)
    for _ in range(100):
        bias = 1e4 * rng.standard_normal((3, 1))
        theta = np.concatenate([10 ** rng.uniform(3, 5) * np.eye(3), bias], axis=1)
        assert 0 <= dual_value(training.batch, 0, theta, 0.0) < np.log(3)


@pytest.mark.parametrize("curvature", [[[0, -1e-323], [-1e-323, 1e-323]], np.zeros((2, 2)), None])
def test_where_curvature_vanishes_the_bias_moves_by_scaling(curvature):
    """By log(mean of y_k / mean of p_k): here log(1/2) and log 2."""
    known = None if curvature is None else np.array(curvature)
    step = _bias_step(np.array([0.25, -0.25]), known, np.array([0.25, 0.5]))
    np.testing.assert_allclose(step, [-np.log(2), np.log(2)])


def test_many_classes_have_a_bound_without_a_matrix_of_them(monkeypatch):
    monkeypatch.setattr(optimality, "MANY_CLASSES", 2)
    monkeypatch.setattr(FixedWeights, "curvature", None)
    x, y, X = overlapping()
    cost = Cost(X, y, 3, 0.1)
    training = descent(dataset(split(x, y)), l2=0.1, dtype="float64", initial_std=1.0)
    check(training, cost, cost(cost.optimum()))


def test_the_svm_of_many_classes_has_none(monkeypatch):
    monkeypatch.setattr(full_batch, "MANY_CLASSES", 2)
    x, y, _ = overlapping()
    training = descent(dataset(split(x, y)), l2=0.1, loss="multiclass_svm", epochs=1)
    training.run(Observer())
    assert training.optimality(0, Observer()).gap is None


@pytest.mark.parametrize("given", [{"l2": 0.0}, {"l2": 0.0, "loss": "multiclass_svm"}])
def test_where_no_bound_is_known_there_is_none(given):
    x, y, _ = overlapping()
    training = descent(dataset(split(x, y)), **given, dtype="float64", epochs=3)
    training.run(Observer())
    found = training.optimality(0, Observer())
    assert found.gap is None
    assert found.relative_gap is None
    assert found.gradient_norm > 0


def test_the_gradients_norm_is_that_of_the_definition():
    x, y, X = overlapping()
    training = descent(dataset(split(x, y)), dtype="float64", epochs=3)
    training.run(Observer())
    kept = training.kept(0)
    gradient = Cost(X, y, 3, 0.0).gradient(np.column_stack([kept.W, kept.b]))
    found = training.optimality(0, Observer())
    assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-9)
