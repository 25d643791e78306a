"""The errors that a user can cause, or can do something about.

Each is also the builtin that a library caller would expect, so that ``except ValueError`` works
without importing this module. The command line prints their message as one line and exits with
``exit_status``; anything else that reaches it is a bug.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_LINES, MAX_LINE = 30, 2000
"""Of what is said about an error."""


class BackpropError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_status = 2

    def lines(self) -> list[str]:
        """Return the message for a terminal: one line, whatever names stand in it."""
        return [printable(str(self))]


class ConfigError(BackpropError, ValueError):
    """A config file or an override that does not say what to do: a message for each problem."""

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Return a line for each problem."""
        return [printable(str(problem)) for problem in self.args]


class DataError(BackpropError, ValueError):
    """A data file that cannot be read, or data that no classifier can be trained on."""


class DownloadError(BackpropError, OSError):
    """Data that cannot be downloaded. The first line says why, the others what to do."""

    def lines(self) -> list[str]:
        """Return the reason, and what to do about it."""
        return [printable(line) for line in str(self).split("\n")]


class ModelFileError(BackpropError, ValueError):
    """A run directory or a model file that is missing, broken, or of another shape."""


class OutputError(BackpropError, OSError):
    """A result that cannot be written."""


class GraphError(BackpropError, ValueError):
    """A computational graph that is not one: a cycle, shapes that do not fit, an unknown name."""


class UserCodeError(BackpropError, ValueError):
    """Code of the user's, which a command was asked to run, that fails or answers nonsense."""


class DivergedError(BackpropError, ArithmeticError):
    """Training left the finite numbers."""

    exit_status = 3


def first_line(error: BaseException) -> str:
    """Return the first line of another library's message, or the error's name if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def bounded(lines: Sequence[str]) -> list[str]:
    """Return at most so many lines as can be read, each of a sane length."""
    shown = [line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}..." for line in lines]
    more = len(shown) - MAX_LINES
    return [*shown[:MAX_LINES], f"and {more} more"] if more > 0 else shown


def listed(names: Sequence[str], most: int = 10) -> str:
    """Return the first of some names for a message, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def printable(text: str) -> str:
    """Return text with every line break and control character escaped."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in text
    )
