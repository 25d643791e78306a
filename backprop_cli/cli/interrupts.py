"""Ctrl-C, or a scheduler's SIGTERM, between two steps and never in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Which signal to stop came since `deferred_interrupts` began, if any."""

    def __init__(self) -> None:
        self.pending: int | None = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if one came."""
        if self.pending is not None:
            raise KeyboardInterrupt

    @property
    def exit_status(self) -> int:
        """What a shell shows for a process that the signal ended: 130 or 143."""
        return 128 + (self.pending or signal.SIGINT)


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Let SIGINT and SIGTERM wait for `Interrupts.check`, however often they come.

    After one, the process is about to save and to end, and further ones are ignored.
    """
    interrupts = Interrupts()

    def handle(signum: int, frame: FrameType | None) -> None:
        interrupts.pending = signum

    before = {
        number: signal.signal(number, handle)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) != signal.SIG_IGN  # a parent's wish, as by nohup
    }
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if interrupts.pending is None else signal.SIG_IGN)
