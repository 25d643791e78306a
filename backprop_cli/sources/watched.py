"""Mapped files: whether they are still what they were when they were opened."""

from __future__ import annotations

import pathlib
import weakref
from dataclasses import dataclass

from backprop_cli.errors import DataError


@dataclass(frozen=True)
class WatchedFile:
    """A file that is read while it is used, and what it was when it was opened.

    Attributes
    ----------
    path
        Its name.
    size, modified, number
        Bytes, nanoseconds, and the number by which the system knows the file.
    """

    path: pathlib.Path
    size: int
    modified: int
    number: int

    @classmethod
    def opened(cls, path: pathlib.Path) -> WatchedFile:
        """Take note of a file; kept for `shortened_files`."""
        found = cls(path, *_state(path))
        _opened.add(found)
        return found

    def check(self) -> None:
        """Refuse to go on if the file was written, replaced or removed since.

        Raises
        ------
        DataError
            Names the file.
        """
        try:
            same = _state(self.path) == (self.size, self.modified, self.number)
        except OSError:
            same = False
        if not same:
            raise DataError(
                f"{self.path}: was changed while it was being read, so the results mix two "
                "versions; wait until nothing writes to it, then start again"
            )


_opened: weakref.WeakSet[WatchedFile] = weakref.WeakSet()


def shortened_files() -> list[pathlib.Path]:
    """Return the mapped files that are shorter than when they were opened."""
    found = []
    for file in _opened:
        try:
            shorter = file.path.stat().st_size < file.size
        except OSError:
            shorter = True
        if shorter:
            found.append(file.path)
    return found


def _state(path: pathlib.Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
