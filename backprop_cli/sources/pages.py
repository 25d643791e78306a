"""A file's pages: mapped, asked for before they are needed, and given back after use."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import pathlib
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError

_TAKES_ADVICE = hasattr(mmap.mmap, "madvise")  # not on Windows
_ASKED_BYTES = 524_288  # of one request: the system cuts longer ones at what the device takes
_SAMPLED_BYTES = 262_144  # from one byte that is looked for to the next
# Of Linux 5.14; Python 3.11 does not name it.
_POPULATE_READ = 22 if sys.platform == "linux" else None


class Pages:
    """A file that is mapped: its bytes are used where the system keeps them.

    They count as memory of this process from their use to `give_back`. Where the system takes no
    advice, what is read is read when it is used.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    DataError
        It cannot be read.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise DataError(f"{path}: cannot read: {error.strerror or error}") from error
        except ValueError as error:  # nothing can be mapped of an empty file
            raise self._shorter() from error
        self.give_back()

    def array(self, offset: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the numbers from ``offset`` on: a view, which may not be aligned."""
        if offset + shape[0] * shape[1] * dtype.itemsize > len(self._map):
            raise self._shorter()
        return np.ndarray(shape, dtype, self._map, offset)

    def ask_for(self, start: int, end: int) -> bool:
        """Let the system read bytes start to end, without waiting for them.

        Returns
        -------
        bool
            Whether they have to be waited for: False if they were in the system's memory already,
            by a sample. To ask for what is there would look at every page of it.

        Raises
        ------
        DataError
            The file is shorter.
        """
        if end > len(self._map):
            raise self._shorter()
        if not _TAKES_ADVICE or self._are_there([*range(start, end, _SAMPLED_BYTES), end - 1]):
            return False
        for first in range(start, end, _ASKED_BYTES):
            self._advise(mmap.MADV_WILLNEED, first, min(first + _ASKED_BYTES, end))
        return True

    def check(self) -> None:
        """Refuse to go on if the file is shorter than it was; a DataError names it."""
        try:
            size = self._path.stat().st_size
        except OSError as error:
            raise DataError(f"{self._path}: cannot read: {error.strerror or error}") from error
        if size < len(self._map):
            raise self._shorter()

    def take(self, start: int, end: int) -> None:
        """Let bytes start to end be brought near in large steps, and nothing beyond them.

        When one page is used, the system adds those around it to this process, 512 at most where it
        keeps them together. It stays within neighbours that were given the same advice.
        """
        if _TAKES_ADVICE:
            self._advise(mmap.MADV_NORMAL, start, end)

    def wait(self, start: int, end: int) -> None:
        """Wait until bytes start to end are in memory.

        Raises
        ------
        DataError
            The file does not have them any more, or they cannot be read.
        """
        if _POPULATE_READ is None:
            return
        first = start - start % mmap.PAGESIZE
        try:
            self._map.madvise(_POPULATE_READ, first, end - first)
        except OSError as error:
            if error.errno == errno.EINVAL:  # an older system
                return
            self.check()
            raise DataError(f"{self._path}: cannot read: {error.strerror or error}") from error

    def give_back(self) -> None:
        """Let go of all pages; those that are used again are read again."""
        if _TAKES_ADVICE:
            self._advise(mmap.MADV_DONTNEED, 0, len(self._map))
            self._advise(mmap.MADV_RANDOM, 0, len(self._map))

    def _advise(self, advice: int, start: int, end: int) -> None:
        first = start - start % mmap.PAGESIZE
        with contextlib.suppress(OSError):  # what is not taken costs time, or memory, at most
            self._map.madvise(advice, first, end - first)

    def _are_there(self, places: list[int]) -> bool:
        """Whether some bytes can be read without waiting."""
        if sys.platform != "linux":
            return False
        file, into = -1, [bytearray(1)]
        try:
            file = os.open(self._path, os.O_RDONLY)
            return all(os.preadv(file, into, place, os.RWF_NOWAIT) for place in places)
        except OSError:  # one is not there, or the file system cannot tell
            return False
        finally:
            if file >= 0:
                os.close(file)

    def _shorter(self) -> DataError:
        return DataError(f"{self._path}: became shorter while it was read")
