"""Features that stay in their files, and are used block by block."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_cli.sources.pages import Pages
from backprop_cli.sources.scattered import Scattered

PIECE_BYTES = 8_000_000
"""How much is waited for at once: between two pieces, waiting can be ended."""

_GAP_BYTES = 262_144  # between two rows: a smaller gap is read through, a larger one skipped
_MAX_TOGETHER = 16_000_000  # bytes that are read together for a pass in order
_WAIT = 0.1  # seconds between two looks at the outside


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


class Part(NamedTuple):
    """Rows that were asked for.

    Attributes
    ----------
    features
        n x d.
    rows
        Which of all rows these are, ascending; None: they are all rows, of which those that were
        asked for are in memory.
    """

    features: NDArray[Any] | Scattered
    rows: NDArray[np.intp] | None


class StoredFeatures:
    """N x d features in files, of which some rows are in memory at a time.

    The system reads ahead of those who ask, without a thread of this process: one that computes
    would not have a core to itself, and a kernel waits for all of its threads. Where rows are
    stored as they are handed out, they are used where the system has them; otherwise they are
    converted into memory of this process.

    Parameters
    ----------
    extents
        Where the rows are, in their order.
    n_features
        d.
    dtype
        As they are stored, in any byte order.
    bfloat16
        Whether the 16 bits of ``dtype`` are the first half of a float32.
    memory
        How many bytes of features may be in memory at once.

    Attributes
    ----------
    extents, bfloat16, memory
        As above.
    shape
        (N, d).
    stored
        The type of the numbers in the files.
    dtype
        As they are handed out: in the byte order of this machine; bfloat16 as float32.
    """

    def __init__(
        self,
        extents: Iterable[Extent],
        n_features: int,
        dtype: np.dtype[Any],
        *,
        bfloat16: bool = False,
        memory: int = 0,
    ) -> None:
        self.extents = tuple(extents)
        self._ends = np.cumsum([extent.n_rows for extent in self.extents])
        self.stored, self.bfloat16 = dtype, bfloat16
        self.shape = (int(self._ends[-1]), n_features)
        self.dtype: np.dtype[Any] = np.dtype(np.float32) if bfloat16 else dtype.newbyteorder("=")
        self.memory = memory

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """The size of a row in memory."""
        return max(1, self.shape[1] * self.dtype.itemsize)

    def portions(self, at_once: int) -> tuple[int, int]:
        """Return how many rows to hand out at once, and how many to read together.

        The first number is ``at_once``, if memory allows it; the second is a multiple of it.
        """
        share = self.memory // 4  # of two buffers, one of which is read ahead
        at_once = max(1, min(at_once, share // self.row_bytes))
        together = min(share, _MAX_TOGETHER) // (at_once * self.row_bytes)
        return at_once, at_once * max(1, together)

    @property
    def in_place(self) -> bool:
        """Whether rows are used as they are in the file, so that nothing is copied."""
        size = self.stored.itemsize
        return self.stored == self.dtype and all(own.offset % size == 0 for own in self.extents)

    def read(self, rows: NDArray[np.intp], out: NDArray[Any]) -> None:
        """Read some rows.

        Parameters
        ----------
        rows
            Which, ascending.
        out
            Where to, n x d.

        Raises
        ------
        DataError
            A file cannot be read, or has become shorter.
        """
        reading = _Reading(self, None)
        reading.copy(reading.asked_for(rows), out)

    def gather(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return some rows, ascending, n x d."""
        out = np.empty((len(rows), self.shape[1]), self.dtype)
        self.read(rows, out)
        return out

    def read_ahead(
        self, wanted: Iterable[NDArray[np.intp]], waiting: Callable[[], None] | None = None
    ) -> Iterator[Part]:
        """Yield the rows of each request, while the system reads those of the next.

        Parameters
        ----------
        wanted
            Rows, in any order, for each request.
        waiting
            Called ten times a second while nothing is done but reading; may raise
            KeyboardInterrupt.

        Yields
        ------
        Part
            Overwritten, or no longer in memory, after the next one is asked for.
        """
        reading = _Reading(self, waiting)
        buffer = np.empty((0, self.shape[1]), self.dtype)
        requests = ((rows, reading.asked_for(rows)) for rows in map(_ascending, wanted))
        request = next(requests, None)
        try:
            while request is not None:
                rows, runs = request
                if self.in_place:
                    reading.wait_for(runs)
                    part = Part(reading.features(), None)
                else:
                    if len(buffer) < len(rows):
                        buffer = buffer[:0].copy()  # first let go of what there is
                        buffer = np.empty((len(rows), self.shape[1]), self.dtype)
                    part = Part(buffer[: len(rows)], rows)
                    reading.copy(runs, buffer[: len(rows)])
                request = next(requests, None)
                yield part
                reading.give_back()
        finally:
            reading.give_back()

    def runs(self, rows: NDArray[np.intp]) -> Iterator[_Run]:
        """Yield where some rows, ascending, are in the files."""
        row_bytes = max(1, self.shape[1] * self.stored.itemsize)
        most, gap = max(1, PIECE_BYTES // row_bytes), max(1, _GAP_BYTES // row_bytes)
        files = np.searchsorted(self._ends, rows, side="right")
        apart = (np.diff(rows) > gap) | (np.diff(files) > 0)
        edges = [*(np.flatnonzero(apart) + 1).tolist(), len(rows)]
        i = 0
        for edge in edges:
            while i < edge:
                start, j = int(rows[i]), edge
                if rows[j - 1] >= start + most:
                    j = i + int(np.searchsorted(rows[i:j], start + most))
                file = int(files[i])
                first = start - int(self._ends[file]) + self.extents[file].n_rows
                yield _Run(file, first, rows[i:j] - start, slice(i, j))
                i = j


class _Run(NamedTuple):
    """Rows of one file that are close to each other."""

    file: int
    first: int  # of the file's rows
    own: NDArray[np.intp]  # the rows, counted from the first
    place: slice  # of them among all that were asked for
    late: bool = False  # whether they have to be waited for


class _Reading:
    """One pass over rows, and the files that it has open."""

    def __init__(self, features: StoredFeatures, waiting: Callable[[], None] | None) -> None:
        self._features, self._waiting = features, waiting
        self._pages: dict[int, Pages] = {}
        self._heard = time.monotonic()

    def array(self, file: int) -> NDArray[Any]:
        """Return all rows of a file, as they are there."""
        extent, d = self._features.extents[file], self._features.shape[1]
        shape = extent.n_rows, d
        return self._opened(file).array(extent.offset, shape, self._features.stored)

    def features(self) -> NDArray[Any] | Scattered:
        """Return all rows, as they are in the files."""
        arrays = [self.array(k) for k in range(len(self._features.extents))]
        return arrays[0] if len(arrays) == 1 else Scattered(arrays)

    def asked_for(self, rows: NDArray[np.intp]) -> list[_Run]:
        """Let the system begin to read some rows, ascending; return where they are."""
        runs = []
        for run in self._features.runs(rows):
            late = self._opened(run.file).ask_for(*self._bytes(run))
            runs.append(run._replace(late=late))
            self._listen()
        return runs

    def wait_for(self, runs: Iterable[_Run]) -> None:
        """Wait until rows that were asked for are in memory."""
        for run in runs:
            pages, place = self._opened(run.file), self._bytes(run)
            pages.take(*place)
            if run.late:
                pages.wait(*place)
            self._listen()
        for pages in self._pages.values():
            pages.check()

    def copy(self, runs: Sequence[_Run], out: NDArray[Any]) -> None:
        """Put rows together, as they are handed out, on all cores; then let go of the files."""
        self.wait_for(runs)
        with ThreadPoolExecutor(_cores(), "backprop-copy") as pool:
            copying = [pool.submit(self._copy, run, out[run.place]) for run in runs]
        for own in copying:
            own.result()
        self.give_back()

    def give_back(self) -> None:
        """Let go of what is in memory."""
        for pages in self._pages.values():
            pages.give_back()

    def _copy(self, run: _Run, out: NDArray[Any]) -> None:
        rows = self.array(run.file)[run.first : run.first + int(run.own[-1]) + 1]
        if len(rows) > len(out):
            rows = rows[run.own]
        if self._features.bfloat16:
            np.left_shift(rows, 16, out=out.view(np.uint32), dtype=np.uint32)
        else:
            out[...] = rows

    def _opened(self, file: int) -> Pages:
        if file not in self._pages:
            self._pages[file] = Pages(self._features.extents[file].path)
        return self._pages[file]

    def _bytes(self, run: _Run) -> tuple[int, int]:
        """Return where the bytes of some rows begin and end in their file."""
        row_bytes = self._features.shape[1] * self._features.stored.itemsize
        start = self._features.extents[run.file].offset + run.first * row_bytes
        return start, start + (int(run.own[-1]) + 1) * row_bytes

    def _listen(self) -> None:
        """Let those who wait be heard, ten times a second."""
        if self._waiting is not None and time.monotonic() - self._heard > _WAIT:
            self._waiting()
            self._heard = time.monotonic()


def _ascending(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return rows in their order, each once; faster than `np.unique` where they are."""
    ordered = np.sort(rows)
    return ordered[np.diff(ordered, prepend=-1) > 0]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
