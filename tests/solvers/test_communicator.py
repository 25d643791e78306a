"""Processes that train together: their sums, and the same weights as one process alone."""

import threading

import numpy as np
import pytest

from backprop_cli.communicator import Serial
from backprop_cli.fitting import prepare
from backprop_cli.objective import Objective
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.preconditioner import Preconditioner
from backprop_cli.sources import ImageLayout
from tests.make import dataset, descent, job, split

LOSSES = ["softmax_cross_entropy", "multiclass_svm"]


class Lockstep:
    """One of several processes, each played by a thread: they wait for each other."""

    on_cores = on_machine = 1

    def __init__(self, rank, size, barrier, shared):
        self.rank, self.size = rank, size
        self._barrier, self._shared = barrier, shared

    def sum(self, *arrays):
        totals = [np.sum(own, axis=0) for own in zip(*self.gather(arrays), strict=True)]
        self._barrier.wait(20)  # only then may an array be changed
        return totals

    def gather(self, value):
        self._shared[self.rank] = value
        self._barrier.wait(20)
        values = list(self._shared)
        self._barrier.wait(20)  # only then may another one be shared
        return values

    def first(self, make):
        return self.gather(make() if self.rank == 0 else None)[0]


def together(size, run):
    """Call ``run`` with a communicator on a thread per process; return what they return."""
    barrier, shared = threading.Barrier(size), [None] * size
    results, errors = [None] * size, []

    def process(rank):
        try:
            results[rank] = run(Lockstep(rank, size, barrier, shared))
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=process, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    return results


def images(n=200):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 256, (n, 3 * 4 * 5), np.uint8)
    labels = np.arange(n) % 4
    image = ImageLayout(3, 4, 5)
    return dataset(split(features, labels, np.arange(5, n), image), split(features, labels))


def broken(found):
    raise np.linalg.LinAlgError


MODELS = [
    {"l2": 0.1, "momentum": 0.9, "label_smoothing": 0.1},
    {"loss": LOSSES[1], "momentum": 0.5, "nesterov": True, "learning_rate": 0.003},
    {"loss": LOSSES[1], "l2": 0.01, "learning_rate": 0.001},
]


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("batch_size", [2, 16, 33, 200])
def test_several_processes_train_the_model_of_one(size, batch_size):
    """195 examples, so that the last mini-batch is short; of a batch of 2 some have nothing."""
    data = images()

    def run(communicator):
        training = descent(
            data, *MODELS, communicator=communicator, dtype="float64", batch_size=batch_size,
            horizontal_flips=True, class_weights="balanced", epochs=2,
        )  # fmt: skip
        training.run(Observer())
        return training

    alone = run(Serial())
    for one in together(size, run):
        for name in ("W", "b", "velocity_W", "velocity_b"):
            found, expected = getattr(one.state, name), getattr(alone.state, name)
            size_of = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * size_of)
        for m in range(len(MODELS)):
            records = zip(one.history[m], alone.history[m], strict=True)
            for found, expected in records:
                assert found.train_cost == pytest.approx(expected.train_cost, rel=1e-11)
            assert one.kept(m).epoch == alone.kept(m).epoch


def test_every_process_has_the_same_bits():
    data = images()

    def run(communicator):
        training = descent(data, *MODELS, communicator=communicator, epochs=1)
        training.run(Observer())
        return training.state.W

    one, *others = together(3, run)
    for other in others:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("l2", [[0.1, 0.01, 0.003], [0.0]])
def test_the_first_process_decides_for_all_in_lbfgs(monkeypatch, l2):
    """Others round otherwise: here, so badly that any decision of theirs would be another one."""
    data = images()
    own_rank = threading.local()

    def rounds(function, how):
        def rounded(*args, **kwargs):
            found = function(*args, **kwargs)
            return how(found) if getattr(own_rank, "value", 0) else found

        return rounded

    monkeypatch.setattr(np.linalg, "norm", rounds(np.linalg.norm, lambda own: 0.0))
    for owner, name in ((np, "vdot"), (Preconditioner, "solve")):
        monkeypatch.setattr(owner, name, rounds(getattr(owner, name), lambda own: 1.5 * own))
    for owner, name in ((np.linalg, "cholesky"), (np.linalg, "lstsq")):
        monkeypatch.setattr(owner, name, rounds(getattr(owner, name), broken))
    monkeypatch.setattr(Objective, "penalty", rounds(Objective.penalty, lambda own: own + 1))

    def run(communicator):
        own_rank.value = communicator.rank
        settings, _ = job(*({"l2": own} for own in l2), dtype="float64")
        solver = FullBatchLbfgs(1e-6, "accuracy", certified=False)
        training = prepare(data, settings, solver, communicator)
        training.run(Observer())
        return training

    alone = run(Serial())
    one, *others = together(3, run)
    for m in range(len(l2)):
        found, expected = one.kept(m).W, alone.kept(m).W
        assert len(one.history[m]) == len(alone.history[m])
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
        for other in others:
            np.testing.assert_array_equal(other.kept(m).W, found)


def test_steps_are_not_fused_where_others_take_part():
    """A fused step would move by this process's share of the mini-batch alone."""
    pytest.importorskip("numba", reason="needs the extra: fast")
    data = images()

    def run(communicator):
        training = descent(data, *MODELS, communicator=communicator, engine="compiled")
        assert training.steps == training.separate_steps.steps
        training.run(Observer())
        return training.state.W

    alone = descent(data, *MODELS, engine="compiled")
    alone.run(Observer())
    for found in together(2, run):
        np.testing.assert_allclose(found, alone.state.W, atol=1e-5 * np.abs(found).max())


def test_a_loss_that_runs_away_is_seen_by_all_at_the_same_step():
    data = images()

    def run(communicator):
        training = descent(
            data, {"learning_rate": 1e20}, {}, communicator=communicator, dtype="float64"
        )
        training.run(Observer())
        return training

    alone = run(Serial())
    place = alone.diverged[0].split(", ")[0]
    assert "step 2 of epoch 1" in place
    for one in together(2, run):
        assert one.diverged[0].split(", ")[0].split(" at ")[1] == place.split(" at ")[1]
        assert one.diverged[1] is None
        np.testing.assert_allclose(one.state.W[1], alone.state.W[1], rtol=1e-11, atol=1e-14)
        assert not one.state.W[0].any()


def test_a_process_that_is_alone_sums_nothing():
    array = np.arange(3.0)
    assert Serial().sum(array)[0] is array
    assert Serial().gather(array) == [array]
    assert Serial().first(lambda: 3) == 3
    assert (Serial().rank, Serial().size) == (0, 1)
