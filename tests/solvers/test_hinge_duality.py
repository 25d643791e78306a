"""The SVM's certificate, against the optimum of its quadratic program by scipy."""

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from backprop_cli.solvers.hinge_duality import balanced
from backprop_cli.solvers.observer import Observer
from tests.make import dataset, split, trained


def optimum(x, y, l2, v):
    """Return the least of l2 sum W^2 + 1/n sum_i v_i sum_j xi_ij, xi_ij >= s_j - s_y + 1, 0."""
    n, d = x.shape
    C = int(y.max()) + 1
    pairs = [(i, j) for i in range(n) for j in range(C) if j != y[i]]
    rows = np.zeros((len(pairs), C * (d + 1) + len(pairs)))
    for k, (i, j) in enumerate(pairs):
        margin = np.zeros((C, d + 1))
        margin[j] += [*x[i], 1]
        margin[y[i]] -= [*x[i], 1]
        rows[k, : C * (d + 1)] = -margin.ravel()
        rows[k, C * (d + 1) + k] = 1
    weights = np.array([v[i] for i, _ in pairs]) / n

    def cost(z):
        theta, xi = z[: C * (d + 1)].reshape(C, d + 1), z[C * (d + 1) :]
        slope = np.zeros_like(theta)
        slope[:, :-1] = 2 * l2 * theta[:, :-1]
        return l2 * (theta[:, :-1] ** 2).sum() + weights @ xi, np.r_[slope.ravel(), weights]

    start = np.r_[np.zeros(C * (d + 1)), np.ones(len(pairs))]
    bounds = [(None, None)] * (C * (d + 1)) + [(0, None)] * len(pairs)
    found = minimize(
        cost, start, jac=True, bounds=bounds, method="SLSQP",
        constraints=LinearConstraint(rows, lb=1.0), options={"ftol": 1e-14, "maxiter": 1000},
    )  # fmt: skip
    return found.fun


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("epochs", [1, 100])
@pytest.mark.parametrize("class_weights", [None, [1.0, 3.0]])
def test_the_gap_is_never_below_the_distance(single, epochs, class_weights):
    rng = np.random.default_rng(3)
    y = rng.integers(2 if single or class_weights else 3, size=24)
    x = rng.standard_normal((24, 2)) + y[:, None]
    training = trained(
        dataset(split(x, y)), l2=0.05, loss="multiclass_svm", dtype="float64", epochs=epochs,
        single_output=single, standardize="none", class_weights=class_weights, learning_rate=0.05,
    )  # fmt: skip
    v = np.ones(24) if class_weights is None else np.array(class_weights)[y]
    # One score s is the pair (-s/2, s/2), whose W has half the squares.
    best = optimum(x, y, 0.05 * (2 if single else 1), v)
    found = training.optimality(0, Observer())
    distance = found.cost - best
    assert distance > -1e-9
    assert found.gap >= distance - 1e-9
    assert found.gap <= distance + 0.5 * best  # and it says something


def test_balanced_flows_give_each_class_what_it_gets():
    flows = np.random.default_rng(0).uniform(size=(5, 5)) ** 4
    np.fill_diagonal(flows, 0)
    factors = balanced(flows)
    own = factors * flows
    np.testing.assert_allclose(own.sum(axis=0), own.sum(axis=1), rtol=1e-12)
    assert 0 < factors[flows > 0].min() < factors.max() == 1


def test_a_class_that_only_gives_takes_no_part():
    flows = np.array([[0, 1, 2.0], [3, 0, 1], [0, 0, 0]])  # class 2 only gets
    factors = balanced(flows)
    own = factors * flows
    assert own[:, 2].sum() == own[2].sum() == 0
    np.testing.assert_allclose(own.sum(axis=0), own.sum(axis=1), rtol=1e-12)
    assert balanced(np.array([[0, 1.0], [0, 0]])).max() == 0


def _flows(*edges: tuple[int, int]) -> np.ndarray:
    flows = np.zeros((6, 6))
    for giver, getter in edges:
        flows[giver, getter] = 1.0
    return flows


@pytest.mark.parametrize(
    "flows",
    [
        _flows((0, 1), (1, 2), (2, 3)),  # a chain: 1 and 2 are balanced, but only with 0 and 3
        _flows((0, 1), (1, 2), (2, 3), (4, 5), (5, 4)),
        np.random.default_rng(0).random((6, 6)) * (1 - np.eye(6)),
    ],
)
def test_every_class_gives_what_it_gets(flows: np.ndarray) -> None:
    factors = balanced(flows)
    left = factors * flows
    assert np.allclose(left.sum(axis=0), left.sum(axis=1), rtol=1e-10, atol=0)
    assert factors.min() >= 0
    assert factors.max() <= 1
