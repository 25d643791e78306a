"""What this machine can do at best: the floor under every time."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.workload import Workload


def sgemm_rate() -> float:
    """Return floating-point operations a second of a large float32 product, all threads."""
    n = 2048
    a, b, c = np.ones((n, n), np.float32), np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    return 2 * n**3 / min(_seconds(lambda: np.matmul(a, b, out=c)) for _ in range(8))


def copy_rate() -> float:
    """Return the bytes a second at which a large array is read and written."""
    a = np.ones(200_000_000, np.uint8)
    b = np.empty_like(a)
    return len(a) / min(_seconds(lambda: np.copyto(b, a)) for _ in range(5))


def floor(work: Workload, sgemm: float) -> float:
    """Return the seconds of an epoch's two products at the rate of large ones."""
    return 4.0 * work.n * work.d * work.n_classes * work.n_models / sgemm


def _seconds(action: object) -> float:
    start = time.perf_counter()
    action()  # type: ignore[operator]
    return time.perf_counter() - start
