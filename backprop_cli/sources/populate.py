"""Wait until the system has read a part of a mapped file, while other threads go on."""

from __future__ import annotations

import functools
import mmap
import os
from collections.abc import Callable

import numpy as np

_POPULATE_READ = 22  # of Linux 5.14; Python 3.11 does not name it


def populate(mapped: mmap.mmap, start: int, size: int) -> None:
    """Have the system read bytes of a map, and bring them near; wait for them.

    Parameters
    ----------
    mapped
        Must not be closed meanwhile.
    start, size
        Of a part of the map, from the first byte of a page on.

    Raises
    ------
    OSError
        They are not in the file any more, or cannot be read, or the system is older.
    """
    madvise = _madvise()
    if madvise is None:
        mapped.madvise(_POPULATE_READ, start, size)  # all other threads of Python wait too
        return
    whole = np.frombuffer(mapped, np.uint8)
    size = min(size, len(whole) - start)
    if size > 0:
        madvise(whole.__array_interface__["data"][0] + start, size, _POPULATE_READ)


@functools.cache
def _madvise() -> Callable[[int, int, int], None] | None:
    """Return the function of the C library; None where it cannot be called."""
    try:
        import ctypes

        function = ctypes.CDLL(None, use_errno=True).madvise
    except (ImportError, OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def madvise(address: int, size: int, advice: int) -> None:
        if function(address, size, advice):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return madvise
