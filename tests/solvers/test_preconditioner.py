"""The preconditioner at a point: the inverse of the Hessian there, which is known by definition."""

import dataclasses

import numpy as np
import pytest

from backprop_cli.losses import Array
from tests.make import dataset, split, to_optimum
from tests.solvers.reference import Cost

N, L2 = 300, 0.01


def problem(n_classes, d, *, example_weights=None, class_weights=None, single=False):
    """Return the cost over all examples, the same by its definition, and a point."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % n_classes
    x = rng.standard_normal((n_classes, d))[labels] + rng.standard_normal((N, d)) + 2.0
    train = split(x, labels)
    source = dataclasses.replace(train.source, example_weights=example_weights)
    training = to_optimum(
        dataset(dataclasses.replace(train, source=source)), dtype="float64", tolerance=0.1, l2=L2,
        standardize="none", class_weights=class_weights, single_output=single,
    )  # fmt: skip
    v = np.ones(N) if class_weights is None else np.array(class_weights)[labels]
    v = v if example_weights is None else v * example_weights
    cost = Cost(x, labels, n_classes, L2, v=v, single=single)
    theta = 0.3 * rng.standard_normal((1 if single else n_classes, d + 1))
    return training.batch, cost, theta


def without_the_mean(theta):
    """Remove what all classes share: the scores change alike, and L does not."""
    return theta - theta.mean(axis=0) if len(theta) > 1 else theta


WEIGHTS = np.random.default_rng(1).uniform(0, 3, N)


@pytest.mark.parametrize(
    ("n_classes", "more"),
    [
        (3, {}),
        (2, {"single": True}),
        (3, {"class_weights": (0.5, 1.0, 4.0)}),
        (2, {"single": True, "class_weights": (0.5, 2.0), "example_weights": WEIGHTS}),
        (4, {"example_weights": WEIGHTS}),
    ],
)
def test_where_all_is_known_it_is_the_inverse_of_the_hessian(n_classes, more):
    batch, cost, theta = problem(n_classes, 4, **more)
    hessian, solve = cost.hessian(theta), batch.preconditioner(0, theta).solve
    rng = np.random.default_rng(2)
    for _ in range(3):
        v: Array = without_the_mean(rng.standard_normal(theta.shape))
        found = solve((hessian @ v.ravel()).reshape(v.shape))
        np.testing.assert_allclose(without_the_mean(found), v, atol=1e-4)


def test_with_more_directions_than_it_inverts_it_is_positive_and_nearer_than_without_the_point():
    n_classes, d = 6, 150  # 99 directions of them at most
    batch, cost, theta = problem(n_classes, d)
    hessian = cost.hessian(theta)
    spreads = []
    for point in (theta, None):
        solve = batch.preconditioner(0, point).solve
        inverse = np.stack([solve(e.reshape(theta.shape)).ravel() for e in np.eye(theta.size)])
        np.testing.assert_allclose(inverse, inverse.T, atol=1e-6 * np.abs(inverse).max())
        assert np.linalg.eigvalsh(inverse)[0] > 0
        found = np.sort(np.linalg.eigvals(inverse @ hessian).real)
        found = found[1:]  # the sum of all biases has no curvature
        spreads.append(found[-1] / found[0])
    assert spreads[0] < spreads[1]


def test_with_more_scores_than_it_inverts_it_is_the_one_without_a_point():
    rng = np.random.default_rng(3)
    x, labels = rng.standard_normal((1400, 2)), np.arange(1400) % 700
    training = to_optimum(dataset(split(x, labels)), tolerance=0.5, l2=1.0)
    theta = rng.standard_normal((700, 3))
    with_point, without = (training.batch.preconditioner(0, own) for own in (theta, None))
    np.testing.assert_array_equal(with_point.solve(theta), without.solve(theta))
