"""Rows that are used where the system keeps the pages of their files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from backprop_cli.sources.layout import Layout, Run
from backprop_cli.sources.pages import Pages
from backprop_cli.sources.scattered import Scattered


class InPlace:
    """Rows of mapped files, which the system reads ahead.

    Nothing is copied, and no thread of this process reads: one that computes would not have a core
    to itself, and a kernel waits for all of its threads.

    Parameters
    ----------
    layout
        Where the rows are; they are stored as they are handed out.
    listen
        Called between two pieces; may raise KeyboardInterrupt.

    Raises
    ------
    OSError, ValueError, NotImplementedError
        A file cannot be mapped, or does not have all of its rows.
    """

    def __init__(self, layout: Layout, listen: Callable[[], None]) -> None:
        self._layout, self._listen = layout, listen
        d, arrays = layout.shape[1], []
        with contextlib.ExitStack() as opened:
            self._pages = []
            for extent in layout.extents:
                pages = Pages(extent.path)
                opened.callback(pages.close)
                self._pages.append(pages)
                arrays.append(pages.array(extent.offset, (extent.n_rows, d), layout.stored))
            self._opened = opened.pop_all()
        self._features = arrays[0] if len(arrays) == 1 else Scattered(arrays)

    def close(self) -> None:
        """Let go of all that is in memory."""
        self._opened.close()

    def ask_for(self, runs: Sequence[Run]) -> None:
        """Let the system begin to read some rows."""
        for run in runs:
            self._pages[run.file].ask_for(*self._layout.place(run))
            self._listen()

    def features(self, runs: Sequence[Run]) -> NDArray[Any] | Scattered:
        """Return all rows, when those of some runs are in memory.

        Raises
        ------
        DataError
            A file has become shorter, or cannot be read.
        """
        for run in runs:
            pages, place = self._pages[run.file], self._layout.place(run)
            pages.take(*place)
            pages.wait(*place, self._listen)
            self._listen()
        for file in {run.file for run in runs}:
            self._pages[file].check()
        return self._features

    def give_back(self, runs: Sequence[Run]) -> None:
        """Let go of some rows."""
        for run in runs:
            self._pages[run.file].give_back(*self._layout.place(run))
