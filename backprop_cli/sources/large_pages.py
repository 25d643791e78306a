"""A file that the system reads into its cache in large pages, where it has them."""

from __future__ import annotations

import contextlib
import mmap
import pathlib
from typing import BinaryIO

from backprop_cli.sources.populate import populate

_MOST = 4 << 20  # bytes: a larger page would have too much beyond a block
_SIZE = pathlib.Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")


class LargePages:
    """A map of a file, through which the system can be made to read it in large pages.

    What is read when it is first used, by a map that asks for large pages, comes in pages of 2 MB,
    if the file system can (ext4 since Linux 6.16, for one). To bring one near, or to give it back,
    takes about as long as for one of 4 kB, and so it stays while the system has it in its cache.
    What is asked for ahead, in any other way, comes in small pages.

    Parameters
    ----------
    file
        An open file, which is not empty.

    Attributes
    ----------
    size
        Of a large page, in bytes; 0 where the system has none, and `read` does nothing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._map: mmap.mmap | None = None
        self.size = _large_page()
        if not self.size:
            return
        try:
            self._map = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            self._map.madvise(mmap.MADV_RANDOM)  # nothing beyond what is asked for
            self._map.madvise(mmap.MADV_HUGEPAGE)
        except (OSError, ValueError):
            self.close()
            self.size = 0

    def read(self, start: int, end: int) -> None:
        """Read the large pages of which bytes start to end are most; wait for them.

        What cannot be read is left to whoever uses it. May be called by any thread, also while
        another one closes the map.
        """
        if not self.size:
            return
        for page in range(start - start % self.size, end, self.size):
            first = max(start, page)
            if 4 * (min(end, page + self.size) - first) < 3 * self.size:
                continue
            first -= first % mmap.PAGESIZE
            mapped = self._map
            if mapped is None:
                return
            with contextlib.suppress(OSError):
                populate(mapped, first, mmap.PAGESIZE)  # which brings all of the large page
                mapped.madvise(mmap.MADV_DONTNEED, page, self.size)  # ends with the file

    def close(self) -> None:
        """Let go of the map: it is there until the last thread has left it."""
        self._map = None


def _large_page() -> int:
    """Return the size of a large page in bytes; 0 where there are none."""
    try:
        size = int(_SIZE.read_text())
    except (OSError, ValueError):
        return 0
    return size if size <= _MOST else 0
