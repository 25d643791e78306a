"""A pass over examples in shares, on several threads."""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

T = TypeVar("T")
Tell: TypeAlias = Callable[[int], None]
"""Takes how many blocks were read since the last call; 0 while files are waited for."""
Work: TypeAlias = Callable[[int, int, Tell], T]

_WAIT = 0.05  # seconds between two looks at how far the threads are


@dataclass(frozen=True)
class Shares:
    """Examples in shares of about the same size.

    Attributes
    ----------
    first, last
        The examples: from the first to before the last.
    n
        How many shares there are.
    threads
        How many of them are worked on at once: one, or all.
    """

    first: int
    last: int
    n: int
    threads: int

    def map(self, work: Work[T], tell: Tell) -> list[T]:
        """Return what some work makes of each share, in the order of the examples.

        Parameters
        ----------
        work
            ``work(start, end, tell)`` takes examples start to end, and calls ``tell`` after each
            block, and while it waits.
        tell
            Called in the caller's thread, now and then; may raise KeyboardInterrupt, which ends
            the work on all shares.
        """
        ends = [self.first + (self.last - self.first) * k // self.n for k in range(self.n + 1)]
        if self.threads == 1:
            return [work(start, end, tell) for start, end in itertools.pairwise(ends)]
        finished, stop, errors = [0] * self.n, threading.Event(), np.geterr()

        def share(k: int) -> T:
            def heard(blocks: int) -> None:
                finished[k] += blocks
                if stop.is_set():
                    raise _Stopped

            with np.errstate(**errors):  # a thread begins with the defaults
                return work(ends[k], ends[k + 1], heard)

        with ThreadPoolExecutor(self.n, "backprop-pass") as pool:
            futures, told = [pool.submit(share, k) for k in range(self.n)], 0
            try:
                waiting = set(futures)
                while waiting:
                    ended, waiting = concurrent.futures.wait(waiting, _WAIT)
                    if any(future.exception() for future in ended):
                        break
                    now = sum(finished)
                    tell(now - told)
                    told = now
            finally:
                stop.set()
        return [future.result() for future in futures]


class _Stopped(Exception):  # noqa: N818 - not an error: another thread wants an end
    """Nobody waits for the rest of a share."""
