"""Where the next model of a path over l2 begins."""

import numpy as np
import pytest

from backprop_cli.fitting import prepare
from backprop_cli.solvers import optimum
from backprop_cli.solvers.l2_path import point_with_l2, predicted
from backprop_cli.solvers.lbfgs import Lbfgs, Point
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import Observer
from tests.make import dataset, job, split, to_optimum
from tests.solvers.test_optimum import blobs, check, reference

VALUES = [1.0, 0.2, 0.03, 0.01]


def parabola(l2):
    x = np.log(l2)
    return np.array([[3.0 + x, x * x - 2.0], [0.5 * x * x, 7.0]])


@pytest.mark.parametrize("known", [3, 4])
def test_what_is_quadratic_in_the_logarithm_of_l2_is_predicted_exactly(known):
    values = VALUES[:known]
    found = predicted(0.004, values, [parabola(own) for own in values])
    np.testing.assert_allclose(found, parabola(0.004), rtol=1e-12)


def test_two_optima_predict_along_their_line():
    first, second = np.array([[1.0, 4.0]]), np.array([[2.0, 4.0]])
    found = predicted(0.01, [1.0, 0.1], [first, second])
    np.testing.assert_allclose(found, [[3.0, 4.0]], rtol=1e-12)


@pytest.mark.parametrize(
    ("l2", "values"),
    [(0.1, []), (0.1, [1.0]), (0.0, [1.0, 0.1]), (0.1, [1.0, 0.1]), (0.01, [1.0, 0.1, 0.1])],
)
def test_nothing_is_predicted_where_the_formula_has_no_value(l2, values):
    assert predicted(l2, values, [parabola(own) for own in values]) is None


def test_a_point_with_another_l2_has_the_cost_and_the_gradient_of_that_l2():
    x, y = blobs()
    training = to_optimum(dataset(split(x, y)), {"l2": 1.0}, {"l2": 0.01}, dtype="float64")
    large, small = reference(x, y, training, 0), reference(x, y, training, 1)
    theta = np.random.default_rng(0).standard_normal((3, 6))
    point = point_with_l2(Point(theta, large(theta), large.gradient(theta)), 0.01 - 1.0)
    assert point.cost == pytest.approx(small(theta), rel=1e-12)
    np.testing.assert_allclose(point.gradient, small.gradient(theta), atol=1e-12)


def starts(monkeypatch, l2):
    """Return the path's training and the costs at which its models begin."""
    costs, remember = [], Lbfgs.remember

    def note(search, steps, changes):
        costs.append(search.point.cost)
        remember(search, steps, changes)

    monkeypatch.setattr(Lbfgs, "remember", note)
    x, y = blobs()
    training = to_optimum(
        dataset(split(x, y)), *({"l2": own} for own in l2), dtype="float64", tolerance=1e-9
    )
    for m in range(len(l2)):
        check(training, reference(x, y, training, m), m)
    return training, costs


def test_from_the_third_model_on_a_path_begins_nearer_than_where_the_one_before_ended(monkeypatch):
    l2 = np.geomspace(1, 1e-3, 8)
    training, costs = starts(monkeypatch, l2)
    x, y = blobs()
    for m in range(2, len(l2)):
        cost = reference(x, y, training, m)
        before = training.kept(m - 1)
        warm = cost(np.column_stack([before.W, before.b]).astype(float))
        best = cost(cost.optimum())
        assert costs[m - 1] - best < 0.2 * (warm - best)


def test_a_prediction_with_a_higher_cost_is_not_taken(monkeypatch):
    l2 = [1.0, 0.1, 0.01]
    _, expected = starts(monkeypatch, l2[:2])
    monkeypatch.setattr(optimum, "predicted", lambda l2, values, optima: 1e3 * optima[0])
    _, costs = starts(monkeypatch, l2)
    assert costs[0] == expected[0]
    assert costs[1] < 10


class Stops(Observer):
    """Interrupts a block, counted from the beginning."""

    def __init__(self, at):
        self.left = at

    def steps(self, number, loss, learning_rate):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_stop_in_any_pass_of_a_path_leaves_a_state_that_ends_as_if_there_was_none():
    x, y = blobs()
    settings, _ = job(*({"l2": own} for own in (1.0, 0.1, 0.03, 0.01)), dtype="float64")

    def fresh():
        return prepare(dataset(split(x, y)), settings, FullBatchLbfgs(1e-6, "loss"))

    def ends(training):
        training.run(Observer())
        weights = [np.column_stack([k.W, k.b]) for k in map(training.kept, range(4))]
        return weights, [[r.train_cost for r in own] for own in training.history]

    expected = ends(fresh())
    stops, at = 0, 0
    while stops == at:
        at += 1
        stopped = fresh()
        try:
            stopped.run(Stops(at))
        except KeyboardInterrupt:
            stops += 1
        arrays = {name: own.copy() for name, own in stopped.arrays().items()}
        progress = stopped.progress()
        found, searched = (dict(progress[name]) for name in ("found", "searches"))
        assert not found.keys() & searched.keys()
        again = fresh()
        again.restore(arrays, progress)
        weights, costs = ends(again)
        np.testing.assert_array_equal(weights, expected[0])
        assert costs == expected[1]
    assert stops > 20
