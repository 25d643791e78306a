"""Features that stay in their files, and are read block by block."""

from __future__ import annotations

import concurrent.futures
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError

PIECE_BYTES = 8_000_000
"""How much is read at once: between two pieces, reading can be stopped."""

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


class StoredFeatures:
    """N x d features in files. Nothing is mapped: what is wanted is read.

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
    shape
        (N, d).
    dtype
        As they are handed out: in the byte order of this machine; bfloat16 as float32.
    memory
        As above.
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
        self._extents = tuple(extents)
        self._ends = np.cumsum([extent.n_rows for extent in self._extents])
        self._stored, self._bfloat16 = dtype, bfloat16
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

    def read(
        self,
        rows: NDArray[np.intp],
        out: NDArray[Any],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Read some rows.

        Parameters
        ----------
        rows
            Which, ascending.
        out
            Where to, n x d.
        stopped
            Asked after every piece: whether to leave the rest.

        Raises
        ------
        DataError
            A file cannot be read, or has become shorter.
        """
        stored_bytes = max(1, self.shape[1] * self._stored.itemsize)
        most, gap = max(1, PIECE_BYTES // stored_bytes), max(1, _GAP_BYTES // stored_bytes)
        i = 0
        while i < len(rows) and not stopped():
            k = int(np.searchsorted(self._ends, rows[i], side="right"))
            end = min(int(self._ends[k]), int(rows[i]) + most)
            own = rows[i : i + np.searchsorted(rows[i:], end)]
            far = np.flatnonzero(np.diff(own) > gap)
            own = own[: far[0] + 1] if len(far) else own
            first = int(self._ends[k]) - self._extents[k].n_rows
            self._read_piece(self._extents[k], own - first, out[i : i + len(own)])
            i += len(own)

    def _read_piece(self, extent: Extent, rows: NDArray[np.intp], out: NDArray[Any]) -> None:
        """Read neighbouring rows of a file."""
        first, n = int(rows[0]), int(rows[-1] - rows[0]) + 1
        as_it_is = n == len(rows) and self._stored == out.dtype
        raw = out if as_it_is else np.empty((n, self.shape[1]), self._stored)
        wanted = raw.reshape(-1).view(np.uint8).data
        try:
            with extent.path.open("rb", buffering=0) as file:
                file.seek(extent.offset + first * self.shape[1] * self._stored.itemsize)
                while len(wanted):
                    read = file.readinto(wanted)
                    if not read:
                        raise DataError(f"{extent.path}: became shorter while it was read")
                    wanted = wanted[read:]
        except OSError as error:
            raise DataError(f"{extent.path}: cannot read: {error.strerror or error}") from error
        if as_it_is:
            return
        if n > len(rows):
            raw = raw[rows - first]
        if self._bfloat16:
            np.left_shift(raw, 16, out=out.view(np.uint32), dtype=np.uint32)
        else:
            out[...] = raw

    def gather(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return some rows, ascending, n x d."""
        out = np.empty((len(rows), self.shape[1]), self.dtype)
        self.read(rows, out)
        return out

    def read_ahead(
        self, wanted: Iterable[NDArray[np.intp]], waiting: Callable[[], None] | None = None
    ) -> Iterator[NDArray[Any]]:
        """Yield the rows of each request, while a thread reads those of the next.

        Parameters
        ----------
        wanted
            Rows, ascending, for each request.
        waiting
            Called ten times a second while reading takes longer than computing; may raise
            KeyboardInterrupt.

        Yields
        ------
        array
            n x d; overwritten after the next one is asked for.
        """
        stop = threading.Event()
        buffers: list[NDArray[Any]] = [np.empty((0, self.shape[1]), self.dtype)] * 2

        def read(place: int, rows: NDArray[np.intp]) -> NDArray[Any]:
            if len(buffers[place]) < len(rows):
                buffers[place] = buffers[place][:0].copy()  # first let go of what there is
                buffers[place] = np.empty((len(rows), self.shape[1]), self.dtype)
            out = buffers[place][: len(rows)]
            self.read(rows, out, stop.is_set)
            return out

        with ThreadPoolExecutor(1, "backprop-read") as reader:
            try:
                pending: Future[NDArray[Any]] | None = None
                for k, rows in enumerate(wanted):
                    following = reader.submit(read, k % 2, rows)
                    if pending is not None:
                        yield _result(pending, waiting)
                    pending = following
                if pending is not None:
                    yield _result(pending, waiting)
            finally:
                stop.set()


def _result(pending: Future[NDArray[Any]], waiting: Callable[[], None] | None) -> NDArray[Any]:
    while waiting is not None and not concurrent.futures.wait([pending], _WAIT).done:
        waiting()
    return pending.result()
