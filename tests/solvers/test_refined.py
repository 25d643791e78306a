"""All directions of the features, from all examples: what they are, and that training has them."""

import numpy as np
import pytest

from backprop_cli.communicator import Serial, own_share
from backprop_cli.fitting import prepare
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import Observer
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


def test_training_refines_where_steps_are_saved_and_finds_the_same_optimum(monkeypatch):
    data = dataset(split(*examples()))
    monkeypatch.setattr(SecondMoment, "cost_of_refining", lambda *a: np.inf)
    without = to_optimum(data, l2=1e-5, tolerance=1e-7)
    monkeypatch.setattr(SecondMoment, "cost_of_refining", lambda *a: 1.0)
    refined = to_optimum(data, l2=1e-5, tolerance=1e-7)
    assert refined.progress()["refined"]
    assert not without.progress()["refined"]
    assert len(refined.history[0]) < len(without.history[0])
    costs = [own.optimality(0, Observer()).cost for own in (without, refined)]
    assert costs[0] == pytest.approx(costs[1], rel=2e-7)


@pytest.mark.parametrize("stop", [3, 14])
def test_training_that_is_interrupted_goes_on_to_the_same_bits(monkeypatch, stop):
    """It refines after 12 passes: the interrupts are before that, and after."""
    monkeypatch.setattr(SecondMoment, "cost_of_refining", lambda *a: 1.0)
    monkeypatch.setattr(SecondMoment, "gain_of_refining", lambda *a: 0.0)
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
    assert rest.progress()["refined"] == (stop > 12)
    rest.run(Observer())
    np.testing.assert_array_equal(whole.kept(0).W, rest.kept(0).W)
    assert whole.optimality(0, Observer()) == rest.optimality(0, Observer())
