"""A file's pages: mapped, asked for before they are needed, and given back after use."""

from __future__ import annotations

import contextlib
import mmap
import os
import pathlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.regular import open_regular
from backprop_cli.sources.large_pages import LargePages
from backprop_cli.sources.populate import populate

_ASKED_BYTES = 131_072  # at once to read ahead: what the system may cut longer requests at
_SAMPLE = 8  # bytes of a block that are looked at, to see whether all of it is in memory
_WAITED_BYTES = 1 << 20  # at once
_TAKES_ADVICE = hasattr(os, "posix_fadvise")  # not on Windows, nor on macOS
_MOST_FILES = 128
_AT_ONCE = getattr(os, "RWF_NOWAIT", None)  # read what is in memory, and nothing else


def most_files() -> int:
    """Return how many files may be mapped at once: each has three of the process's descriptors."""
    if sys.platform != "linux":
        return 0
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if limit == resource.RLIM_INFINITY else min(_MOST_FILES, limit // 8)


def ask_for(file: int, start: int, end: int) -> None:
    """Let the system read bytes start to end of an open file into its memory; do not wait.

    What is there is asked for too: to find out all of it takes as long.
    """
    if _TAKES_ADVICE:
        with contextlib.suppress(OSError):  # what is wrong with a file is told when it is read
            for first in range(start - start % mmap.PAGESIZE, end, _ASKED_BYTES):
                size = min(_ASKED_BYTES, end - first)
                os.posix_fadvise(file, first, size, os.POSIX_FADV_WILLNEED)


class Pages:
    """A file that is mapped: its bytes are used where the system keeps them.

    They count as memory of this process from their use to `give_back`.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    OSError, ValueError
        It cannot be read, mapped, or waited for. An empty one cannot be mapped.
    NotImplementedError
        Nor can any other file, by this system.
    """

    def __init__(self, path: pathlib.Path) -> None:
        if sys.platform != "linux" or _AT_ONCE is None:
            raise NotImplementedError
        self._path, self._no_wait, self._random = path, _AT_ONCE, np.random.default_rng()
        with contextlib.ExitStack() as opened:
            self._file = opened.enter_context(open_regular(path))
            # A byte that is looked at brings its own page, and not those around it.
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            # Not MAP_SHARED, which some network file systems refuse.
            self._map = mmap.mmap(
                self._file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ
            )
            self._advise(mmap.MADV_RANDOM, 0, len(self._map))
            populate(self._map, 0, mmap.PAGESIZE)
            self.give_back(0, len(self._map))
            self._are_there([0])
            self._large = opened.enter_context(contextlib.closing(LargePages(self._file)))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Give all pages back. Arrays can still be used: the file is mapped as long as they are."""
        self.give_back(0, len(self._map))
        self._opened.close()

    def array(self, offset: int, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the numbers from ``offset`` on: a view, which may not be aligned.

        Raises
        ------
        ValueError
            The file does not have so many.
        """
        if offset + shape[0] * shape[1] * dtype.itemsize > len(self._map):
            raise ValueError("the file is too short")
        return np.ndarray(shape, dtype, self._map, offset)

    def read_ahead(self, start: int, end: int) -> None:
        """Let the system read bytes start to end; wait for those that come in large pages.

        A thread may call it while others use the other methods, until `close`.
        """
        self._large.read(start, end)
        ask_for(self._file.fileno(), start, end)

    def seem_there(self, start: int, end: int) -> bool:
        """Whether a sample of bytes start to end is in memory.

        Several bytes, as one that is looked at may be read meanwhile, and others each time, as the
        system keeps what was looked at longer than the rest.
        """
        low, high = start + mmap.PAGESIZE, end - mmap.PAGESIZE  # pages that no neighbour shares
        if low >= high:
            low, high = start, end
        step = max(1, (high - low) // _SAMPLE)
        return self._are_there(range(low + int(self._random.integers(step)), high, step))

    def take(self, start: int, end: int) -> None:
        """Let bytes start to end be brought near in large steps, and nothing beyond them.

        When one page is used, the system adds those around it to this process, 512 at most where it
        keeps them together. It stays within neighbours that were given the same advice.
        """
        self._advise(mmap.MADV_NORMAL, start, end)

    def wait(self, start: int, end: int, listen: Callable[[], None]) -> None:
        """Wait until bytes start to end are in memory; call ``listen`` now and then.

        Where a sample of them is there, nothing is done: whoever uses pages brings them near
        faster, on all cores.

        Raises
        ------
        DataError
            The file does not have them any more, or they cannot be read.
        """
        if self.seem_there(start, end):
            return
        for first in range(start - start % mmap.PAGESIZE, end, _WAITED_BYTES):
            try:
                populate(self._map, first, min(_WAITED_BYTES, end - first))
            except OSError as error:
                self.check()
                raise DataError(f"{self._path}: cannot read a part of it") from error
            listen()

    def check(self) -> None:
        """Refuse to go on if the file is shorter than it was; a DataError names it."""
        if os.fstat(self._file.fileno()).st_size < len(self._map):
            raise DataError(f"{self._path}: became shorter while it was read")

    def give_back(self, start: int, end: int) -> None:
        """Let go of bytes start to end; those that are used again are read again."""
        self._advise(mmap.MADV_DONTNEED, start, end)
        self._advise(mmap.MADV_RANDOM, start, end)

    def _advise(self, advice: int, start: int, end: int) -> None:
        if end <= start:
            return
        first = start - start % mmap.PAGESIZE
        with contextlib.suppress(OSError):  # what is not taken costs time, or memory, at most
            self._map.madvise(advice, first, end - first)

    def _are_there(self, places: Iterable[int]) -> bool:
        """Whether some bytes can be read without waiting."""
        into = [bytearray(1)]
        try:
            return all(
                os.preadv(self._file.fileno(), into, place, self._no_wait) for place in places
            )
        except OSError:  # one is not there, or the file system cannot tell
            return False
