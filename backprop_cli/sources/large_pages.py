"""A file that the system reads into its cache in large pages, where it has them."""

from __future__ import annotations

import ctypes
import mmap
import pathlib
from typing import BinaryIO

import numpy as np

POPULATE_READ = 22
"""Advice of Linux 5.14, which Python 3.11 does not name: read, and bring near."""
_MOST = 4 << 20  # bytes: a larger page would have too much beyond a block
_SIZE = pathlib.Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")


class LargePages:
    """A map of a file, through which the system can be made to read it in large pages.

    What is read when it is first used, by a map that asks for large pages, comes in pages of 2 MB,
    if the file system can (Linux 6.16 and ext4, for one). To bring one near, or to give it back,
    takes about as long as for one of 4 kB, and so it stays while the system has it in its cache.
    What is asked for ahead, in any other way, comes in small pages.

    Parameters
    ----------
    file
        An open file, which is not empty.

    Raises
    ------
    OSError, ValueError
        It cannot be mapped.

    Attributes
    ----------
    size
        Of a large page, in bytes; 0 where the system has none.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._map = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        try:
            self._map.madvise(mmap.MADV_RANDOM)  # nothing beyond what is asked for
            self._map.madvise(mmap.MADV_HUGEPAGE)
            self.size = int(_SIZE.read_text())
        except (OSError, ValueError):
            self.size = 0
        if self.size > _MOST:
            self.size = 0
        # By the C library, since a thread of Python that calls `mmap.madvise` halts all others.
        self._advise = ctypes.CDLL(None).madvise
        self._advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._address = np.frombuffer(self._map, np.uint8).__array_interface__["data"][0]

    def close(self) -> None:
        """Let go of the map; nobody may be in `read`."""
        self.size = 0
        self._map.close()

    def read(self, start: int, end: int) -> None:
        """Read the large pages of which bytes start to end are at least a half; wait for them.

        What cannot be read is left to whoever uses it.
        """
        if not self.size:
            return
        for page in range(start - start % self.size, end, self.size):
            first = max(start, page)
            if 2 * (min(end, page + self.size) - first) >= self.size:
                first -= first % mmap.PAGESIZE
                self._advise(self._address + first, mmap.PAGESIZE, POPULATE_READ)
                self._advise(self._address + page, self.size, mmap.MADV_DONTNEED)
