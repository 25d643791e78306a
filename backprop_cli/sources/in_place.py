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

_READERS = 4  # each waits for one large page at a time
_WAIT = 0.05  # seconds between two looks at the outside


class InPlace:
    """Rows of mapped files, which are read ahead.

    Nothing is copied. Threads have the system read ahead what it does not have in its cache, and
    wait for it, which takes hardly any time of a core.

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
        self._reading: list[concurrent.futures.Future[None]] = []
        d, arrays = layout.shape[1], []
        with contextlib.ExitStack() as opened:
            self._pages = []
            for extent in layout.extents:
                pages = Pages(extent.path)
                opened.callback(pages.close)
                self._pages.append(pages)
                arrays.append(pages.array(extent.offset, (extent.n_rows, d), layout.stored))
            self._readers = concurrent.futures.ThreadPoolExecutor(_READERS, "read-ahead")
            opened.callback(self._end_reading)
            self._opened = opened.pop_all()
        self._features = arrays[0] if len(arrays) == 1 else Scattered(arrays)

    def close(self) -> None:
        """Let go of all that is in memory."""
        self._opened.close()

    def ask_for(self, runs: Sequence[Run]) -> None:
        """Begin to read some rows: the next that `features` will be called for."""
        for run in runs:
            if not self._pages[run.file].seem_there(*self._layout.place(run)):
                with contextlib.suppress(RuntimeError):  # no thread can start: they are read later
                    self._reading.append(self._readers.submit(self._read, run))
            self._listen()

    def features(self, runs: Sequence[Run]) -> NDArray[Any] | Scattered:
        """Return all rows, when those of some runs are in memory.

        Raises
        ------
        DataError
            A file has become shorter, or cannot be read.
        """
        while self._reading:
            self._reading = list(concurrent.futures.wait(self._reading, _WAIT).not_done)
            self._listen()
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

    def _read(self, run: Run) -> None:
        if not self._ended.is_set():
            self._pages[run.file].read_ahead(*self._layout.place(run))

    def _end_reading(self) -> None:
        self._ended.set()
        self._readers.shutdown()
