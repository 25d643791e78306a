"""Shares of a pass: their order, what is told, and how they end."""

import threading

import numpy as np
import pytest

from backprop_cli.solvers.shares import Shares


@pytest.mark.parametrize("threads", [1, 3])
def test_every_example_is_in_one_share_and_in_its_order(threads):
    told = []

    def work(start, end, done):
        for _ in range(start, end):
            done()
        return list(range(start, end))

    parts = Shares(5, 22, 3, threads).map(work, lambda: told.append(threading.get_ident()))
    assert [len(part) for part in parts] == [5, 6, 6]
    assert [i for part in parts for i in part] == list(range(5, 22))
    assert told == [threading.get_ident()] * 17


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_one_share_is_that_of_the_pass(threads):
    def work(start, end, done):
        if start:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Shares(0, 10, 2, threads).map(work, lambda: None)


def test_an_interrupt_ends_all_shares():
    def work(start, end, done):
        while True:
            done()

    def tell():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Shares(0, 10, 2, 2).map(work, tell)


def test_threads_keep_quiet_about_what_their_caller_does():
    """A warning would be an error here."""

    def work(start, end, done):
        return np.exp(np.float64(1000.0))

    with np.errstate(over="ignore"):
        assert Shares(0, 2, 2, 2).map(work, lambda: None) == [np.inf, np.inf]
