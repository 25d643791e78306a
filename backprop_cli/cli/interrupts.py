"""Ctrl-C between two steps, never in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Whether Ctrl-C was pressed since `deferred_interrupts` began."""

    def __init__(self) -> None:
        self.pending = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.pending:
            raise KeyboardInterrupt


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Let Ctrl-C wait for `Interrupts.check`, however often it is pressed.

    After one, the process is about to save and to end, and further ones are ignored.
    """
    interrupts = Interrupts()

    def handle(signum: int, frame: FrameType | None) -> None:
        interrupts.pending = True

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if interrupts.pending else before)
