"""Threads that wait for each other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from backprop_cli.errors import ConfigError


def started_pool(workers: int) -> ThreadPoolExecutor:
    """Return a pool whose threads all run: a kernel waits for every one of them.

    Raises
    ------
    ConfigError
        The system does not grant that many.
    """
    pool = ThreadPoolExecutor(workers, "backprop")
    everyone = threading.Barrier(workers + 1)
    try:
        for _ in range(workers):
            pool.submit(everyone.wait)
        everyone.wait()
    except RuntimeError as error:  # a BrokenBarrierError is one too
        everyone.abort()
        raise ConfigError(
            f"compute.threads: cannot start {workers + 1} threads: {error}; set a lower number"
        ) from error
    return pool
