"""Features that stay in their files, and are used block by block."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_cli.sources.copied import Copied
from backprop_cli.sources.in_place import InPlace
from backprop_cli.sources.layout import Extent, Layout, Run
from backprop_cli.sources.listening import now_and_then
from backprop_cli.sources.pages import most_files
from backprop_cli.sources.scattered import Scattered

_MAX_TOGETHER = 16_000_000  # bytes that are read together for a pass in order
_READ_GAP = 262_144  # bytes between two rows: less is read through, more is skipped
_GAP = 32_768  # likewise, in place; blocks of an epoch have twice that, and as much between them
_MOST_RUNS = 1024  # in place: the system keeps a list of them
_MOST_READ = 1.5  # rows in place, for each that is wanted: what is between them is in memory too


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

    They are handed out in one of two ways. Where most rows of some stretches of a few files are
    wanted, as for the blocks of an epoch, and are stored as they are handed out, they are used in
    place: `InPlace`. Others are copied: `Copied`. Either way the system reads ahead.

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
        self._layout = Layout(extents, n_features, dtype, bfloat16=bfloat16)
        self.shape, self.dtype = self._layout.shape, self._layout.dtype
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
        # A quarter is in use, and the system reads as much ahead. Half may still have the last
        # buffer of an epoch. The rows at once decide how sums are rounded: let them be.
        share = self.memory // 4
        at_once = max(1, min(at_once, share // self.row_bytes))
        together = min(share, _MAX_TOGETHER) // (at_once * self.row_bytes)
        return at_once, at_once * max(1, together)

    def passes_at_once(self, at_once: int) -> int:
        """Return how many passes that hand out so many rows at once can be made together.

        Each has memory, and descriptors, of its own.
        """
        portion = max(_MAX_TOGETHER, at_once * self.row_bytes)
        files = len(self._layout.extents)
        return max(1, min(self.memory // (4 * portion), most_files() // files if files else 1))

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
        runs = self._layout.runs(rows, _READ_GAP)
        Copied(self._layout, now_and_then(None)).read(rows, runs, out)

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

        Raises
        ------
        DataError
            A file cannot be read, or has become shorter.
        """
        listen = now_and_then(waiting)
        copied, in_place = Copied(self._layout, listen), self._in_place(listen)
        with contextlib.nullcontext() if in_place is None else contextlib.closing(in_place):

            def asked_for(rows: NDArray[np.intp]) -> tuple[InPlace | None, Any, list[Run]]:
                way = in_place if self._are_dense(rows) else None
                runs = self._layout.runs(rows, _READ_GAP if way is None else _GAP)
                (way or copied).ask_for(runs)
                return way, rows, runs

            requests = map(asked_for, map(_ascending, wanted))
            request = next(requests, None)
            while request is not None:
                way, rows, runs = request
                if way is None:
                    part = Part(copied.features(rows, runs), rows)
                else:
                    part = Part(way.features(runs), None)
                request = next(requests, None)
                yield part
                if way is not None:
                    way.give_back(runs)

    def _in_place(self, listen: Callable[[], None]) -> InPlace | None:
        """Return all rows where they are in their files; None where that cannot be."""
        layout = self._layout
        if not layout.is_as_handed_out or len(layout.extents) > most_files():
            return None
        try:
            return InPlace(layout, listen)
        except (OSError, ValueError, NotImplementedError):
            return None  # what is wrong with a file is told when it is copied

    def _are_dense(self, rows: NDArray[np.intp]) -> bool:
        """Whether rows, ascending, are in few runs, with little between them."""
        if not len(rows):
            return False
        far = self._layout.far_apart(rows, _GAP)
        n_read = rows[-1] - rows[0] + 1 - (np.diff(rows)[far] - 1).sum()
        return bool(np.count_nonzero(far) < _MOST_RUNS and n_read <= _MOST_READ * len(rows))


def _ascending(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return rows in their order, each once; faster than `np.unique` where they are."""
    ordered = np.sort(rows)
    return ordered[np.diff(ordered, prepend=-1) > 0]
