"""What this machine can do at best: the floor under every time."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.workload import Workload

_CALM, _PATIENCE, _BREAK = 0.9, 60, 0.5  # of the best rate; tries, and seconds between them
_LEAST = 0.8  # of the best rate, below which nothing is reported


class Slow(Exception):  # noqa: N818 - no fault of the program
    """The machine is so much below its best rate that its times say little."""


def sgemm_rate(tries: int = 8) -> float:
    """Return floating-point operations a second of a large float32 product, all threads."""
    n = 2048
    a, b, c = np.ones((n, n), np.float32), np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    return 2 * n**3 / min(_seconds(lambda: np.matmul(a, b, out=c)) for _ in range(tries))


def wait_for_calm(sgemm: float) -> None:
    """Wait until the machine computes at nine tenths of its rate, for half a minute at most.

    The cores of a virtual machine may be lent to others, or be two halves of one core, for
    seconds at a time; who is measured then is not measured on the machine that the others had.
    """
    for _ in range(_PATIENCE):
        if sgemm_rate(2) >= _CALM * sgemm:
            return
        time.sleep(_BREAK)


def full_rate(sgemm: float) -> float:
    """Return the rate of a large product as a share of ``sgemm``, the best one.

    Raises
    ------
    Slow
        It is under four fifths, in each of three tries.
    """
    rate = max(sgemm_rate() for _ in range(3)) / sgemm
    if rate < _LEAST:
        raise Slow(f"a large product runs at {rate:.0%} of the rate it had at the start")
    return rate


def copy_rate() -> float:
    """Return the bytes a second at which a large array is read and written."""
    a = np.ones(200_000_000, np.uint8)
    b = np.empty_like(a)
    return len(a) / min(_seconds(lambda: np.copyto(b, a)) for _ in range(5))


def floor(work: Workload, sgemm: float) -> float:
    """Return the seconds of an epoch's two products at the rate of large ones."""
    return 4.0 * work.n * work.d * work.n_classes * work.n_models / sgemm


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
