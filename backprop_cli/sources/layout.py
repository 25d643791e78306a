"""Where the rows of features are in files."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 8_000_000
"""How much of a file is used at once: between two pieces, waiting can be ended."""


@dataclass(frozen=True)
class Extent:
    """Rows that lie one after the other in a file.

    Attributes
    ----------
    path
        The file.
    offset
        Where the first row begins, in bytes.
    n_rows
        How many rows there are.
    """

    path: pathlib.Path
    offset: int
    n_rows: int


class Run(NamedTuple):
    """Rows of one file that are close to each other, and what is between them.

    Attributes
    ----------
    file
        Which file.
    first, end
        Of the file's rows: the first, and the one after the last.
    wanted
        Which of the rows that were asked for are the run's.
    """

    file: int
    first: int
    end: int
    wanted: slice


class Layout:
    """Where N x d features are, and how they are stored.

    Parameters
    ----------
    extents
        Where the rows are, in their order.
    n_features
        d.
    stored
        The type of the numbers in the files, in any byte order.
    bfloat16
        Whether the 16 bits of ``stored`` are the first half of a float32.

    Attributes
    ----------
    extents, stored, bfloat16
        As above.
    shape
        (N, d).
    dtype
        The numbers as they are handed out: in the byte order of this machine; bfloat16 as float32.
    row_bytes
        The size of a row in a file.
    """

    def __init__(
        self,
        extents: Iterable[Extent],
        n_features: int,
        stored: np.dtype[Any],
        *,
        bfloat16: bool,
    ) -> None:
        self.extents = tuple(extents)
        self.stored, self.bfloat16 = stored, bfloat16
        self._ends = np.cumsum([extent.n_rows for extent in self.extents])
        self.shape = (int(self._ends[-1]), n_features)
        self.dtype: np.dtype[Any] = np.dtype(np.float32) if bfloat16 else stored.newbyteorder("=")
        self.row_bytes = n_features * stored.itemsize

    @property
    def is_as_handed_out(self) -> bool:
        """Whether the numbers can be used as they are in the files."""
        size = self.stored.itemsize
        return self.stored == self.dtype and all(own.offset % size == 0 for own in self.extents)

    def far_apart(self, rows: NDArray[np.intp], gap_bytes: int) -> NDArray[np.bool_]:
        """Return after which of some rows, ascending, there is a gap of so many bytes or more."""
        return np.diff(rows) > max(1, gap_bytes // max(1, self.row_bytes))

    def runs(self, rows: NDArray[np.intp], gap_bytes: int) -> list[Run]:
        """Return where some rows, ascending, are.

        Parameters
        ----------
        rows
            Which.
        gap_bytes
            From one run to the next at least, in a file. A run has `PIECE_BYTES` at most, unless it
            is a single row.
        """
        most = max(1, PIECE_BYTES // max(1, self.row_bytes))
        files = np.searchsorted(self._ends, rows, side="right")
        apart = self.far_apart(rows, gap_bytes) | (np.diff(files) > 0)
        found, i = [], 0
        for edge in [*(np.flatnonzero(apart) + 1).tolist(), len(rows)]:
            while i < edge:
                start, j = int(rows[i]), edge
                if rows[j - 1] >= start + most:
                    j = i + int(np.searchsorted(rows[i:j], start + most))
                file = int(files[i])
                before = int(self._ends[file]) - self.extents[file].n_rows
                found.append(Run(file, start - before, int(rows[j - 1]) + 1 - before, slice(i, j)))
                i = j
        return found

    def place(self, run: Run) -> tuple[int, int]:
        """Return where the bytes of a run begin and end in its file."""
        offset = self.extents[run.file].offset
        return offset + run.first * self.row_bytes, offset + run.end * self.row_bytes
