"""Rows that are used where the system keeps the pages of their files."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from backprop_cli.sources.layout import Layout, Run
from backprop_cli.sources.pages import Pages
from backprop_cli.sources.scattered import Scattered

_WAIT = 0.05  # seconds between two looks at the outside


class InPlace:
    """Rows of mapped files, which are read ahead.

    Nothing is copied. A thread of this process has the system read ahead what it does not have in
    its cache, and takes little time of a core: a kernel waits for all of its threads, so each needs
    a core to itself.

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
        self._ended = threading.Event()
        self._reading: concurrent.futures.Future[None] | None = None
        d, arrays = layout.shape[1], []
        with contextlib.ExitStack() as opened:
            self._pages = []
            for extent in layout.extents:
                pages = Pages(extent.path)
                opened.callback(pages.close)
                self._pages.append(pages)
                arrays.append(pages.array(extent.offset, (extent.n_rows, d), layout.stored))
            self._reader = concurrent.futures.ThreadPoolExecutor(1, "read-ahead")
            opened.callback(self._end_reading)
            self._opened = opened.pop_all()
        self._features = arrays[0] if len(arrays) == 1 else Scattered(arrays)

    def close(self) -> None:
        """Let go of all that is in memory."""
        self._opened.close()

    def ask_for(self, runs: Sequence[Run]) -> None:
        """Begin to read some rows: the next that `features` will be called for."""
        missing = []
        for run in runs:
            if not self._pages[run.file].seem_there(*self._layout.place(run)):
                missing.append(run)
            self._listen()
        if missing:
            self._reading = self._reader.submit(self._read, missing)

    def features(self, runs: Sequence[Run]) -> NDArray[Any] | Scattered:
        """Return all rows, when those of some runs are in memory.

        Raises
        ------
        DataError
            A file has become shorter, or cannot be read.
        """
        if self._reading is not None:
            while not concurrent.futures.wait([self._reading], _WAIT).done:
                self._listen()
            self._reading = self._reading.result()
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

    def _read(self, runs: Sequence[Run]) -> None:
        for run in runs:
            if self._ended.is_set():
                return
            self._pages[run.file].read_ahead(*self._layout.place(run))

    def _end_reading(self) -> None:
        self._ended.set()
        self._reader.shutdown()
