"""Rows of several arrays as those of one, where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray


class Scattered:
    """N x d features in several arrays, whose rows follow each other; nothing is copied.

    Parameters
    ----------
    arrays
        At least one; each n_k x d, row by row, aligned, all of one type.

    Attributes
    ----------
    shape, dtype
        (N, d), and the type of the numbers.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._arrays = tuple(arrays)
        d, self.dtype = arrays[0].shape[1], arrays[0].dtype
        self._ends = np.cumsum([len(array) for array in arrays])
        self.shape = (int(self._ends[-1]), d)

    def __len__(self) -> int:
        return self.shape[0]

    def addresses(self) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]]:
        """Return where the rows are, for the kernels alone.

        Returns
        -------
        memory
            All memory from the first of the arrays to the last, as numbers of their type. Only
            those of the arrays may be read: to print it, or to copy it, ends the process.
        begins, ends
            Of each array: which number of ``memory`` its row 0 would be, if it went on backwards,
            and where its rows end among the N. Row i of the N begins at ``begins[k] + i d``.
        """
        arrays, size = self._arrays, self.dtype.itemsize
        places = np.array([array.ctypes.data for array in arrays]) // size
        lowest = int(np.argmin(places))
        span = max(int(place) + array.size for place, array in zip(places, arrays, strict=True))
        memory = as_strided(
            arrays[lowest].reshape(-1), (span - int(places[lowest]),), (size,), writeable=False
        )
        firsts = self._ends - [len(array) for array in arrays]
        return memory, places - places[lowest] - firsts * self.shape[1], self._ends

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> NDArray[Any]:
        """Return some rows, n x d, as a copy."""
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        return self.take(rows, 0, np.empty((len(rows), self.shape[1]), self.dtype))

    def take(
        self, rows: NDArray[np.intp], axis: int, out: NDArray[Any], mode: str = "clip"
    ) -> NDArray[Any]:
        """Put some rows into ``out``, n x d, and return it; as `numpy.take` does along axis 0."""
        files = np.searchsorted(self._ends, rows, side="right")
        for k in np.unique(files):
            own = np.flatnonzero(files == k)
            first = int(self._ends[k]) - len(self._arrays[k])
            out[own] = self._arrays[k][rows[own] - first]
        return out
