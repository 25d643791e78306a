"""L-BFGS for one model: on functions whose minimum is known, and its search along a line."""

import json

import numpy as np
import pytest

from backprop_cli.solvers.lbfgs import Lbfgs, Point

SHAPE = (2, 4)
SIZE = SHAPE[0] * SHAPE[1]
WEIGHT = 10.0  # of the bias's gradient, the last column, where a small gradient is looked for


class Inverse:
    """A preconditioner that multiplies by a matrix."""

    def __init__(self, H, sampled=False):
        self._H, self.sampled = H, sampled

    def solve(self, gradient):
        return (self._H @ gradient.ravel()).reshape(gradient.shape)


IDENTITY = Inverse(np.eye(SIZE))


class Quadratic:
    """1 + (theta - best)^T A (theta - best) / 2, with eigenvalues of A from 1 to 1000."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        Q, _ = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))
        self.A = (Q * np.geomspace(1, 1000, SIZE)) @ Q.T
        self.best = rng.standard_normal(SHAPE)

    def __call__(self, theta):
        away = (theta - self.best).ravel()
        gradient = self.A @ away
        return Point(theta, float(1 + away @ gradient / 2), gradient.reshape(SHAPE))


def along(f, slope):
    """Return theta -> f(t) for the first entry t of theta, in a problem of one number."""
    return lambda theta: Point(theta, f(theta[0, 0]), np.array([[slope(theta[0, 0]), 0.0]]))


def descend(search, cost, passes):
    """Evaluate the cost so often; return how it fell at the steps that were made."""
    costs = [search.point.cost]
    for _ in range(passes):
        if search.take(cost(search.trial()), 1e-15):
            costs.append(search.point.cost)
    return costs


def test_newtons_direction_reaches_the_minimum_of_a_quadratic_in_one_step():
    cost = Quadratic()
    search = Lbfgs(cost(np.zeros(SHAPE)), Inverse(np.linalg.inv(cost.A)))
    assert search.take(cost(search.trial()), 1e-15)
    assert search.length == 1.0
    np.testing.assert_allclose(search.point.theta, cost.best, rtol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_any_preconditioner_leads_to_the_minimum_of_a_quadratic(seed):
    cost, rng = Quadratic(seed), np.random.default_rng(seed)
    B = rng.standard_normal((SIZE, SIZE))
    search = Lbfgs(cost(rng.standard_normal(SHAPE)), Inverse(B @ B.T + 0.1 * np.eye(SIZE)))
    costs = descend(search, cost, 120)
    assert (np.diff(costs) <= 1e-12).all()
    np.testing.assert_allclose(search.point.theta, cost.best, atol=1e-6)


@pytest.mark.parametrize(("factor", "sampled", "exact"), [
    (100, True, True), (100, False, False), (0.01, True, False),
])  # fmt: skip
def test_a_sampled_inverse_that_is_too_large_is_scaled_by_the_last_step(factor, sampled, exact):
    """Nocedal and Wright (2006), eq. 7.20: a multiple of the inverse becomes the inverse."""
    cost = Quadratic()
    search = Lbfgs(cost(np.zeros(SHAPE)), Inverse(factor * np.linalg.inv(cost.A), sampled))
    step = np.random.default_rng(0).standard_normal(SHAPE)
    search.remember([step], [(cost.A @ step.ravel()).reshape(SHAPE)])
    assert np.allclose(search.trial(), cost.best, rtol=1e-8) == exact


def test_every_step_satisfies_the_wolfe_conditions():
    """On a cost that is not quadratic: log cosh along every eigenvector."""
    quadratic = Quadratic(3)
    root = np.linalg.cholesky(quadratic.A).T

    def cost(theta):
        z = root @ (theta - quadratic.best).ravel()
        value = float(np.logaddexp(z, -z).sum())
        return Point(theta, value, (root.T @ np.tanh(z)).reshape(SHAPE))

    search = Lbfgs(cost(np.full(SHAPE, 3.0)), IDENTITY)
    steps = 0
    for _ in range(200):
        before, direction, t = search.point, search.direction, search.t
        if np.linalg.norm(before.gradient) < 1e-6:
            break
        found = cost(search.trial())
        slope = float(np.vdot(direction, before.gradient))
        assert slope < 0
        if search.take(found, 1e-15):
            steps += 1
            assert found.cost <= before.cost + 1e-4 * t * slope + 1e-12
            assert np.vdot(direction, found.gradient) >= 0.9 * slope
    assert steps > 5
    np.testing.assert_allclose(search.point.theta, quadratic.best, atol=1e-5)


@pytest.mark.parametrize(
    ("curvature", "too_long"),
    [(1e4, True), (300.0, True), (1e-4, False), (0.01, False)],
)
def test_a_first_length_that_is_wrong_by_orders_of_magnitude_is_mended(curvature, too_long):
    """The minimum of curvature t^2 / 2 - t is at 1 / curvature, and the first trial is at 1."""
    cost = along(lambda t: curvature * t * t / 2 - t, lambda t: curvature * t - 1)
    search = Lbfgs(cost(np.zeros((1, 2))), Inverse(np.eye(2)))
    for _ in range(20):
        if search.take(cost(search.trial()), 1e-15):
            break
    assert search.trials_in_all <= 8
    assert (search.length < 1) == too_long
    t = search.point.theta[0, 0]
    assert curvature * t - 1 >= 0.9 * -1  # not too short
    assert curvature * t * t / 2 - t <= -1e-4 * t  # not too long


def test_a_search_in_which_the_cost_never_falls_ends():
    search = Lbfgs(Point(np.zeros((1, 2)), 1.0, np.array([[1.0, 0.0]])), Inverse(np.eye(2)))
    for _ in range(50):
        assert not search.take(Point(search.trial(), 2.0, np.array([[-1.0, 0.0]])), 1e-15)
        if search.stuck:
            break
    assert search.stuck
    search.forget()
    assert not search.stuck


def test_a_decrease_that_rounding_hides_is_seen_by_the_slope():
    """The cost is a constant up to rounding; the slope says that the minimum is near."""
    cost = along(lambda t: 1e8 + (t - 1) ** 2 / 2, lambda t: t - 1)
    search = Lbfgs(cost(np.full((1, 2), 1 - 1e-5)), Inverse(np.eye(2)))
    assert search.take(cost(search.trial()), 1e-14)
    assert search.point.theta[0, 0] == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_no_point_in_the_span_of_the_steps_has_a_smaller_gradient(steps):
    """For a quadratic the gradient at theta - S c is g - Y c: a problem of least squares."""
    cost = Quadratic(1)
    search = Lbfgs(cost(np.zeros(SHAPE)), IDENTITY)
    while search.iterations < steps:
        search.take(cost(search.trial()), 1e-15)
    weights = np.ones(SHAPE)
    weights[:, -1] = WEIGHT
    S = np.stack([step.ravel() for step in search.steps], axis=1)
    theta, squares = search.smallest_gradient()
    A, w = cost.A, weights.ravel()
    rest = np.linalg.lstsq(w[:, None] * (A @ S), w * search.point.gradient.ravel(), rcond=None)[0]
    expected = search.point.theta.ravel() - S @ rest
    np.testing.assert_allclose(theta.ravel(), expected, rtol=1e-6, atol=1e-9)
    found = cost(theta).gradient
    assert squares == pytest.approx(float((found[:, :-1] ** 2).sum()), rel=1e-6)


def test_before_any_step_the_smallest_gradient_is_that_of_the_point():
    cost = Quadratic()
    start = cost(np.zeros(SHAPE))
    theta, squares = Lbfgs(start, IDENTITY).smallest_gradient()
    np.testing.assert_array_equal(theta, start.theta)
    assert squares == pytest.approx(float((start.gradient[:, :-1] ** 2).sum()))


@pytest.mark.parametrize("passes", [0, 1, 2, 7, 15])
def test_a_search_that_is_saved_and_restored_goes_on_the_same(passes):
    """Also in the middle of a search along a line."""
    cost = Quadratic(2)
    whole = Lbfgs(cost(np.zeros(SHAPE)), IDENTITY)
    descend(whole, cost, passes)
    saved = json.loads(json.dumps(whole.progress()))
    memory = [step.copy() for step in whole.steps], [own.copy() for own in whole.changes]
    other = Lbfgs(Point(whole.point.theta.copy(), saved["cost"], whole.point.gradient), IDENTITY)
    other.restore(*memory, saved)
    for _ in range(10):
        np.testing.assert_array_equal(whole.trial(), other.trial())
        found = cost(whole.trial())
        assert whole.take(found, 1e-15) == other.take(found, 1e-15)
    assert whole.progress() == other.progress()


def test_steps_that_another_search_has_made_shape_the_direction():
    rng = np.random.default_rng(0)
    cost, start = Quadratic(), rng.standard_normal(SHAPE)
    step = rng.standard_normal(SHAPE)
    change = cost(start + step).gradient - cost(start).gradient
    search = Lbfgs(Point(start, 1.0, change), IDENTITY)
    search.remember([step, step], [change, -change])  # the latter would be a negative curvature
    # The secant equation, H y = s: Nocedal and Wright (2006), eq. 6.17.
    np.testing.assert_allclose(search.direction, -step, rtol=1e-10)
