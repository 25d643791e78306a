"""Shares of a pass: their order, what is told, and how they end."""

import threading

import numpy as np
import pytest

from backprop_cli.fitting import prepare
from backprop_cli.solvers import examples
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.optimum import LbfgsTraining
from backprop_cli.solvers.shares import Shares
from backprop_cli.sources import Split
from tests.make import dataset, job, split, stored_source


@pytest.mark.parametrize("threads", [1, 3])
def test_every_example_is_in_one_share_and_in_its_order(threads):
    told = []

    def work(start, end, tell):
        for _ in range(start, end):
            tell(1)
        return list(range(start, end))

    def tell(blocks):
        told.append(blocks)
        assert threading.current_thread() is threading.main_thread()

    parts = Shares(5, 22, 3, threads).map(work, tell)
    assert [len(part) for part in parts] == [5, 6, 6]
    assert [i for part in parts for i in part] == list(range(5, 22))
    assert sum(told) == 17


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_one_share_is_that_of_the_pass(threads):
    def work(start, end, tell):
        if start:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Shares(0, 10, 2, threads).map(work, lambda blocks: None)


@pytest.mark.parametrize("blocks", [1, 0])
def test_an_interrupt_ends_all_shares(blocks):
    """Also while they wait for files, and no block is finished."""

    def work(start, end, tell):
        while True:
            tell(blocks)

    def tell(blocks):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Shares(0, 10, 2, 2).map(work, tell)


def test_threads_keep_quiet_about_what_their_caller_does():
    """A warning would be an error here."""

    def work(start, end, tell):
        return np.exp(np.float64(1000.0))

    with np.errstate(over="ignore"):
        assert Shares(0, 2, 2, 2).map(work, lambda blocks: None) == [np.inf, np.inf]


@pytest.mark.parametrize(("memory", "at_once"), [(1_000_000, 1), (10**9, 2)])
def test_a_pass_in_shares_is_the_pass_in_one(monkeypatch, tmp_path, memory, at_once):
    """In float64, for costs and scores; from a file it is the same to the last bit."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((700, 20)), np.arange(700) % 3
    monkeypatch.setattr(examples, "_FEW_BLOCKS", 0)
    monkeypatch.setattr(examples, "MAX_BLOCK", 64)
    stored = Split(stored_source(tmp_path, x, y, memory=memory), np.arange(700))
    found = []
    for train, threads in ((split(x, y), 1), (split(x, y), 2), (stored, 2)):
        settings, solver = job(l2=0.1, dtype="float64", threads=threads, engine="numpy")
        method = FullBatchLbfgs(1e-6, solver.select_by)
        training = prepare(dataset(train), settings, method)
        assert isinstance(training, LbfgsTraining)
        assert training.batch._by_numpy().threads == (at_once if train is stored else threads)
        theta = np.random.default_rng(1).standard_normal((3, 21))
        point = training.batch.point(0, theta)
        kept = training.batch.all_scores(0, theta[:, :-1], theta[:, -1])
        S = np.concatenate([own[0] for own in kept], axis=1)
        found.append((point.cost, point.gradient, S))
    for one, two, file in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(file, two)
