"""Rows that are read into memory of this process, and converted if need be."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from io import RawIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.regular import open_regular
from backprop_cli.sources.layout import PIECE_BYTES, Layout, Run
from backprop_cli.sources.pages import ask_for


class Copied:
    """Rows of files that are read, one file after the other, in pieces, by the thread that asks.

    Parameters
    ----------
    layout
        Where the rows are.
    listen
        Called between two pieces; may raise KeyboardInterrupt.
    """

    def __init__(self, layout: Layout, listen: Callable[[], None]) -> None:
        self._layout, self._listen = layout, listen
        self._buffer = np.empty((0, layout.shape[1]), layout.dtype)
        self._piece = np.empty(0, np.uint8)

    def ask_for(self, runs: Sequence[Run]) -> None:
        """Let the system begin to read some rows into its cache, where it can be asked to."""
        for file, own in itertools.groupby(runs, lambda run: run.file):
            # What is wrong with a file is told when it is read.
            with contextlib.suppress(OSError), self._open(file) as opened:
                for run in own:
                    ask_for(opened.fileno(), *self._layout.place(run))
                    self._listen()

    def features(self, rows: NDArray[np.intp], runs: Sequence[Run]) -> NDArray[Any]:
        """Return some rows, n x d; overwritten by the next call."""
        if len(self._buffer) < len(rows):
            self._buffer = self._buffer[:0].copy()  # first let go of what there is
            self._buffer = np.empty((len(rows), self._buffer.shape[1]), self._buffer.dtype)
        out = self._buffer[: len(rows)]
        self.read(rows, runs, out)
        return out

    def read(self, rows: NDArray[np.intp], runs: Sequence[Run], out: NDArray[Any]) -> None:
        """Put some rows into ``out``, n x d.

        Raises
        ------
        DataError
            A file cannot be read, or has become shorter.
        """
        for file, own in itertools.groupby(runs, lambda run: run.file):
            path = self._layout.extents[file].path
            try:
                with self._open(file) as opened:
                    for run in own:
                        self._read_run(opened, run, rows[run.wanted], out[run.wanted])
            except EOFError as error:
                raise DataError(f"{path}: became shorter while it was read") from error
            except OSError as error:
                raise DataError(f"{path}: cannot read: {error.strerror or error}") from error

    def _open(self, file: int) -> RawIOBase:
        return open_regular(self._layout.extents[file].path).detach()

    def _read_run(
        self, file: RawIOBase, run: Run, rows: NDArray[np.intp], out: NDArray[Any]
    ) -> None:
        """Read neighbouring rows of a file."""
        start, end = self._layout.place(run)
        file.seek(start)
        if run.end - run.first == len(rows) and self._layout.stored == out.dtype:
            self._fill(file, out.reshape(-1).view(np.uint8))
            return
        if len(self._piece) < end - start:
            self._piece = np.empty(max(end - start, PIECE_BYTES), np.uint8)
        piece = self._piece[: end - start]
        self._fill(file, piece)
        found = piece.view(self._layout.stored).reshape(run.end - run.first, -1)
        if len(found) > len(rows):
            found = found[rows - rows[0]]
        if self._layout.bfloat16:
            np.left_shift(found, 16, out=out.view(np.uint32), dtype=np.uint32)
        else:
            out[...] = found

    def _fill(self, file: RawIOBase, into: NDArray[np.uint8]) -> None:
        """Read as many bytes as there is room for; raise EOFError where there are not so many."""
        left = into.data
        while len(left):
            n_read = file.readinto(left[:PIECE_BYTES])
            if not n_read:
                raise EOFError
            left = left[n_read:]
            self._listen()
