"""All directions of the features, from all examples: what they are, and that training has them."""

import numpy as np
import pytest

from backprop_cli.communicator import Serial, own_share
from backprop_cli.fitting import prepare
from backprop_cli.solvers import preconditioner
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.preconditioner import sampled_hessian
from backprop_cli.solvers.second_moment import SecondMoment
from backprop_cli.sources import Standardization
from tests.make import dataset, job, split, to_optimum
from tests.solvers.test_communicator import together

N, D, C = 1500, 430, 3


def examples():
    """Return features whose covariance falls from 1 to 1e-3, and labels that they say little of."""
    rng = np.random.default_rng(0)
    labels = np.arange(N) % C
    x = rng.standard_normal((N, D)) * np.geomspace(1, 0.03, D)
    return x + 0.3 * np.eye(C, D)[labels] + 3.0, labels


def add(*arrays):
    return list(arrays)


def test_it_has_the_eigenvectors_of_the_covariance():
    x, y = examples()
    data, at_first = split(x, y), Standardization(np.full(D, 3.0), np.full(D, 0.5))
    moment = SecondMoment(data, at_first, 0, max_rank=20)
    told = []
    found = moment.refined(data.blocks(400), lambda: told.append(1), add)
    z = (x - 3.0) / 0.5
    np.testing.assert_allclose(found.mean, z.mean(axis=0), atol=1e-6)
    covariance = np.cov(z.T, bias=True)
    expected = np.linalg.eigvalsh(covariance)
    np.testing.assert_allclose(found.e, expected, rtol=1e-3, atol=1e-5)
    assert found.trace == pytest.approx(np.trace(covariance), rel=1e-5)
    V = found.V.astype(float)
    np.testing.assert_allclose(V @ np.diag(found.e) @ V.T, covariance, atol=1e-4)
    assert len(told) == 4
    assert moment.V.shape == (D, 20)


def test_two_processes_have_the_covariance_of_all_examples():
    x, y = examples()
    data, own = split(x, y), Standardization(np.zeros(D), np.ones(D))
    moment = SecondMoment(data, own, 0, max_rank=20)

    def run(communicator):
        blocks = data.blocks(400, *own_share(communicator, N))
        return moment.refined(blocks, lambda: None, communicator.sum)

    alone = run(Serial())
    for found in together(2, run):
        np.testing.assert_allclose(found.e, alone.e, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.mean, alone.mean, atol=1e-6)


def test_its_gain_is_that_of_conjugate_gradients():
    """Without l2 the condition number is e_rest over the least eigenvalue that is believed."""
    x, y = examples()
    moment = SecondMoment(split(x, y), Standardization(np.zeros(D), np.ones(D)), 0, max_rank=20)
    assert moment.gain_of_refining(0.1, 1e9, 1e-6) == pytest.approx(0, abs=1e-6)
    c = moment.rest / (1e-3 * moment.trace / D)
    expected = np.log(2e6) / 2 * (np.sqrt(c) - 1)
    assert moment.gain_of_refining(0.1, 0.0, 1e-6) == pytest.approx(expected, rel=1e-9)


def test_it_costs_more_passes_the_fewer_numbers_a_pass_has():
    moment = SecondMoment(split(*examples()), Standardization(np.zeros(D), np.ones(D)), 0, 20)
    few, more, wide = (moment.cost_of_refining(*a) for a in ((500, 3), (1500, 3), (1500, 30)))
    assert few > more > wide > 0
    assert wide == pytest.approx(more / 10)
    whole = moment.refined(split(*examples()).blocks(400), lambda: None, add)
    assert whole.cost_of_refining(1500, 3) == np.inf  # it is refined
    few_rows = split(*(own[: D - 1] for own in examples()))
    moment = SecondMoment(few_rows, Standardization(np.zeros(D), np.ones(D)), 0, 20)
    assert moment.cost_of_refining(D - 1, 3) == np.inf


def test_a_feature_that_the_sample_does_not_have_leaves_it_as_it_is():
    """Its square is infinite in float32."""
    x, y = examples()
    moment = SecondMoment(split(x, y), Standardization(np.zeros(D), np.ones(D)), 0, 20)
    x[7, 3] = 1e30
    with np.errstate(over="ignore", invalid="ignore"):
        assert moment.refined(split(x, y).blocks(400), lambda: None, add) is moment


def test_the_diagonal_is_that_of_all_classes_where_it_takes_fewer_examples(monkeypatch):
    """The examples are sorted by class, and each class has a curvature of its own."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3000, 4)), np.repeat([0, 1, 2], 1000)
    moment = SecondMoment(split(x, y), Standardization(np.zeros(4), np.ones(4)), 0)

    def curvature(S, rows):
        return np.where(y[rows] == 2, 1.0, 0.01) * np.ones((3, 1)), np.zeros((3, len(rows)))

    theta = np.zeros((3, 5))
    every = sampled_hessian(moment, theta, 0.01, curvature)
    monkeypatch.setattr(preconditioner, "_PROJECTIONS", 16 * 600)
    some = sampled_hessian(moment, theta, 0.01, curvature)
    np.testing.assert_allclose(some.along, every.along, rtol=0.25)
    np.testing.assert_array_equal(some.inverse, every.inverse)


@pytest.mark.parametrize("l2", [1e-5, 0.0])
def test_training_that_refines_makes_fewer_steps_to_the_same_optimum(monkeypatch, l2):
    data = dataset(split(*examples()))
    monkeypatch.setattr(SecondMoment, "cost_of_refining", lambda *a: np.inf)
    without = to_optimum(data, l2=l2, tolerance=1e-7 if l2 else 1e-4)
    monkeypatch.setattr(SecondMoment, "cost_of_refining", lambda *a: 1.0)
    refined = to_optimum(data, l2=l2, tolerance=1e-7 if l2 else 1e-4)
    assert refined.progress()["refined"]
    assert not without.progress()["refined"]
    assert len(refined.history[0]) < len(without.history[0])
    costs = [own.optimality(0, Observer()).cost for own in (without, refined)]
    assert costs[0] == pytest.approx(costs[1], rel=2e-7 if l2 else 1e-3, abs=1e-4)
    assert [own.optimality(0, Observer()).gap is None for own in (without, refined)] == 2 * [not l2]


def test_two_processes_refine_alike(monkeypatch):
    monkeypatch.setattr(SecondMoment, "cost_of_refining", lambda *a: 1.0)
    data = dataset(split(*examples()))

    def run(communicator):
        return to_optimum(data, l2=1e-4, tolerance=1e-8, communicator=communicator)

    alone, ranks = run(Serial()), together(2, run)
    best = alone.optimality(0, Observer()).cost
    for one in ranks:
        assert one.progress()["refined"]
        assert one.optimality(0, Observer()).cost == pytest.approx(best, rel=2e-8)
        np.testing.assert_array_equal(one.kept(0).W, ranks[0].kept(0).W)


@pytest.mark.parametrize(("refined_after", "stop"), [(12, 3), (12, 14), (0, 1), (0, 3), (0, 7)])
def test_training_that_is_interrupted_goes_on_to_the_same_bits(monkeypatch, refined_after, stop):
    """It refines before the first look at a Hessian, or after: the interrupts are around both."""
    monkeypatch.setattr(SecondMoment, "cost_of_refining", lambda *a: 1.0)
    gain = 0.0 if refined_after else 100.0
    monkeypatch.setattr(SecondMoment, "gain_of_refining", lambda *a: gain)
    data = dataset(split(*examples()))
    settings, solver = job(l2=1e-5)
    method = FullBatchLbfgs(1e-7, solver.select_by)
    whole = prepare(data, settings, method)
    whole.run(Observer())

    class Stops(Observer):
        def epoch(self, records):
            if part.epochs_finished == stop:
                raise KeyboardInterrupt

    part = prepare(data, settings, method)
    with pytest.raises(KeyboardInterrupt):
        part.run(Stops())
    rest = prepare(data, settings, method)
    rest.restore(part.arrays(), part.progress())
    assert rest.progress()["refined"] == (stop > refined_after)
    rest.run(Observer())
    np.testing.assert_array_equal(whole.kept(0).W, rest.kept(0).W)
    assert whole.optimality(0, Observer()) == rest.optimality(0, Observer())
