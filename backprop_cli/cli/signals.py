"""Ctrl-C, the SIGTERM of a scheduler and the SIGHUP of a closed terminal.

From the first import to the last byte they end a command with 130, 143 or 129 and a word on stderr.
This module imports nothing that takes time: an interrupt may come before anything else is there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

_WORDS = {"SIGINT": "Interrupted.", "SIGTERM": "Terminated.", "SIGHUP": "Hung up."}
_NUMBERS = {getattr(signal, name): word for name, word in _WORDS.items() if hasattr(signal, name)}


class Stopped(BaseException):
    """The user, or the system, has stopped the command."""


class Stops:
    """The signal that has stopped the command, if any, and what is done about it.

    Attributes
    ----------
    signal
        The first one that arrived.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._deferred = self._held = False

    def catch(self) -> None:
        """Take the signals, those aside that are ignored, as nohup has it; forget earlier ones."""
        self.signal, self._deferred, self._held = None, False, False
        for number in _NUMBERS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._take)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[Stops]:
        """Hold signals back until `check` is called.

        After the first one the process is about to save and to exit, so further ones are ignored.
        """
        self._deferred = True
        try:
            yield self
        finally:
            self._deferred = self.signal is not None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold signals back for as long as processes exchange something; raise `Stopped` then."""
        before, self._held = self.signal, True
        try:
            yield
        finally:
            self._held = False
        if self.signal != before and not self._deferred:
            raise Stopped

    @contextlib.contextmanager
    def deadly(self, seconds: float, late: Callable[[], NoReturn]) -> Iterator[None]:
        """Let signals end the process at once, while Python cannot act.

        Parameters
        ----------
        seconds
            How long it may take.
        late
            Ends the process after them. It runs as a C signal handler.
        """
        handlers = {number: signal.getsignal(number) for number in _NUMBERS}
        alarm = hasattr(signal, "setitimer")
        try:
            for number, handler in handlers.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            if alarm:
                kept = _at_alarm(late)
                signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            if alarm:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                del kept
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def hear(self, number: int) -> None:
        """Take a signal that has stopped another process of the same job."""
        self.signal = self.signal or number
        if not self._deferred:
            raise Stopped

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has arrived."""
        if self.signal is not None:
            raise KeyboardInterrupt

    def end(self) -> None:
        """Raise `Stopped` if a signal has arrived that nothing has asked for."""
        if self.signal is not None:
            raise Stopped

    @property
    def exit_status(self) -> int:
        """The status of a process that the signal ends, as a shell shows it: 130, 143 or 129."""
        return 128 + (self.signal or signal.SIGINT)

    @property
    def word(self) -> str:
        """What to say of the signal."""
        return _NUMBERS[self.signal or signal.SIGINT]

    def leave(self) -> NoReturn:
        """Say the word, and exit with the signal's status."""
        self.rest()
        self._say()
        sys.exit(self.exit_status)

    def rest(self) -> None:
        """Do nothing about further signals: what the command has come to is being said."""
        self._deferred = True

    def ignore(self) -> None:
        """Let the process ignore further signals: all is said, and nothing is left to stop."""
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    def _say(self) -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be gone
            sys.stderr.write(f"{self.word}\n")
            sys.stderr.flush()

    def _take(self, number: int, frame: FrameType | None) -> None:
        first = self.signal is None
        self.signal = self.signal or number
        if self._deferred or self._held:
            return
        if first:
            raise Stopped
        # The first one was lost in code that lets no exception through, or still unwinds.
        self._say()
        os._exit(self.exit_status)


def _at_alarm(act: Callable[[], NoReturn]) -> object:
    """Let SIGALRM call a function, also in the middle of C code; keep what is returned until then.

    A handler of Python's would wait for that code to return.
    """
    import ctypes

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: act())
    ctypes.CDLL(None).signal(int(signal.SIGALRM), handler)
    return handler


stops = Stops()
"""Those of this process."""
