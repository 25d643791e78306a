"""Lets Ctrl-C, or the SIGTERM of a scheduler, stop training between two steps only."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """The signal to stop that arrived since `deferred_interrupts` began, if any."""

    def __init__(self) -> None:
        self.pending: int | None = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if one arrived."""
        if self.pending is not None:
            raise KeyboardInterrupt

    @property
    def exit_status(self) -> int:
        """The status of a process that the signal ends, as a shell shows it: 130 or 143."""
        return 128 + (self.pending or signal.SIGINT)


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Hold SIGINT and SIGTERM back until `Interrupts.check` is called.

    After the first one the process is about to save and to exit, so further ones are ignored.
    """
    interrupts = Interrupts()

    def handle(signum: int, frame: FrameType | None) -> None:
        interrupts.pending = signum

    before = {
        number: signal.signal(number, handle)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) != signal.SIG_IGN  # nohup ignores them
    }
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if interrupts.pending is None else signal.SIG_IGN)
