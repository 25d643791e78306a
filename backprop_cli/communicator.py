"""The processes that train together. A single process is rank 0 of 1, through the same code."""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import BackpropError

T = TypeVar("T")

_HEADER = 64  # numbers that every exchange begins with
_LEAVES, _KIND, _ROOM = 0, 1, 2  # the first of them, and where small arrays may travel
_PATIENCE = 5.0  # seconds that a process which has failed waits for the others
_PATIENCE_IF_STOPPED = 25.0  # they may be saving; a scheduler kills after 30


class Communicator(Protocol):
    """What processes ask of each other. All of them must ask the same, in the same order."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0. Rank 0 writes files and speaks for all."""
        ...

    @property
    def size(self) -> int:
        """How many processes there are."""
        ...

    @property
    def on_machine(self) -> int:
        """How many of them are on this machine: they share its memory."""
        ...

    @property
    def on_cores(self) -> int:
        """How many of them may use the same cores as this one, itself included."""
        ...

    def sum(self, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the sums of arrays over all processes; they may be in the arrays' memory."""
        ...

    def gather(self, value: T) -> list[T]:
        """Return the value of every process, by rank."""
        ...

    def first(self, make: Callable[[], T]) -> T:
        """Return what rank 0 makes; the others do not call ``make``."""
        ...


def own_share(communicator: Communicator, n: int) -> tuple[int, int]:
    """Return which of n things are this process's: from the first number to before the second."""
    rank, size = communicator.rank, communicator.size
    return rank * n // size, (rank + 1) * n // size


class Serial:
    """The communicator of a process that is alone."""

    rank = 0
    size = on_machine = on_cores = 1

    def sum(self, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the arrays themselves."""
        return list(arrays)

    def gather(self, value: T) -> list[T]:
        """Return the value."""
        return [value]

    def first(self, make: Callable[[], T]) -> T:
        """Return what ``make`` returns."""
        return make()


@dataclass(frozen=True)
class Ending:
    """How a process ends.

    Attributes
    ----------
    status
        Its exit status.
    lines
        What is to be said on stderr.
    signal
        The signal that has stopped it, if any.
    host
        The machine that it is on.
    elsewhere
        Whether it ends because another process does.
    """

    status: int
    lines: tuple[str, ...]
    signal: int | None
    host: str
    elsewhere: bool


class ElsewhereError(BackpropError):
    """Another process has failed. What has happened is known at the end, from that process."""


class Mpi:
    """Processes that a launcher such as mpiexec has started, through mpi4py.

    A process may fail, or be stopped, while others wait for it. So every exchange begins with a
    header of one size, in which a process can say that it leaves; the others then leave too.

    Parameters
    ----------
    stopped
        Told of the signal that has stopped another process, before KeyboardInterrupt is raised.
    held
        Holds signals back: an exchange that has begun must not be left.

    Raises
    ------
    ImportError
        There is no mpi4py, or no MPI that it can load.
    """

    def __init__(
        self, stopped: Callable[[int], None], held: Callable[[], AbstractContextManager[object]]
    ) -> None:
        from mpi4py import MPI

        self._comm: Any = MPI.COMM_WORLD
        self._stopped, self._held = stopped, held
        self.rank: int = self._comm.Get_rank()
        self.size: int = self._comm.Get_size()
        self._own, self._all = np.zeros(_HEADER), np.zeros(_HEADER)
        self._in_place = MPI.IN_PLACE
        self._left = False
        machine = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        cores = machine.allgather(_cores())
        machine.Free()
        self.on_machine = len(cores)
        self.on_cores = sum(1 for other in cores if other & _cores()) or 1

    def sum(self, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the sums of arrays over all processes, the same bits on each.

        Small arrays travel in the header, as float64; others by themselves, in place.
        """
        shapes = tuple((array.shape, array.dtype.char) for array in arrays)
        kind, places = _sum_plan(shapes)
        with self._held():
            for array, place in zip(arrays, places, strict=True):
                if place is not None:
                    self._own[place] = array.reshape(-1)
            self._begin(kind)
            sums = []
            for array, place in zip(arrays, places, strict=True):
                if place is None:
                    total = np.require(array, requirements=["C", "W"])
                    self._comm.Allreduce(self._in_place, total)
                else:
                    total = self._all[place].astype(array.dtype).reshape(array.shape)
                sums.append(total)
        return sums

    def gather(self, value: T) -> list[T]:
        """Return the value of every process, by rank; it is anything that can be pickled."""
        with self._held():
            self._begin(_kind("gather"))
            values: list[T] = self._comm.allgather(value)
        return values

    def first(self, make: Callable[[], T]) -> T:
        """Return what rank 0 makes, which is anything that can be pickled."""
        made = make() if self.rank == 0 else None
        with self._held():
            self._begin(_kind("first"))
            found: T = self._comm.bcast(made)
        return found

    def leave(self, ending: Ending, say: Callable[[Ending], None]) -> Ending:
        """Return the ending of all: the same on each, so that they exit with one status.

        Parameters
        ----------
        ending
            How this process ends.
        say
            Says why, before all processes are ended at once because some do not come.
        """

        def abandon() -> None:
            say(ending)
            self._comm.Abort(ending.status)

        with self._held():
            if not self._left:
                self._left = True
                patience = _PATIENCE if ending.signal is None else _PATIENCE_IF_STOPPED
                late = threading.Timer(patience, abandon)
                late.daemon = True
                if ending.status:
                    late.start()
                self._exchange(_kind("leave"))
                late.cancel()
                self._comm.allgather(ending)
            endings = self._comm.allgather(ending)
        return _of_all(endings)

    def _begin(self, kind: float) -> None:
        """Exchange headers; go on if all processes are about to do the same.

        Raises
        ------
        ElsewhereError, KeyboardInterrupt
            Another process has failed, or was stopped.
        """
        self._exchange(kind)
        if not self._all[_LEAVES]:
            if self._all[_KIND] != self.size * kind:
                raise RuntimeError("processes are out of step")
            return
        self._left = True
        endings = self._comm.allgather(None)
        stops = [end.signal for end in endings if end is not None and end.signal is not None]
        if any(end is not None and not end.status for end in endings):
            raise RuntimeError("processes are out of step")
        if any(end is not None and end.signal is None for end in endings):
            raise ElsewhereError("another process has failed")
        self._stopped(stops[0])
        raise KeyboardInterrupt

    def _exchange(self, kind: float) -> None:
        self._own[_LEAVES], self._own[_KIND] = float(self._left), kind
        self._comm.Allreduce(self._own, self._all)


def _of_all(endings: list[Ending]) -> Ending:
    """Return the ending that counts: a failure before a stop, and of several the first rank's."""
    own = [(rank, end) for rank, end in enumerate(endings) if not end.elsewhere]
    failed = [(rank, end) for rank, end in own if end.status and end.signal is None]
    stopped = [(rank, end) for rank, end in own if end.signal is not None]
    rank, found = (failed or stopped or own)[0]
    if rank == 0 or found.signal is not None or not found.lines:
        return found
    *lines, last = found.lines
    where = f"{last} (process {rank + 1} of {len(endings)}, on {found.host})"
    return dataclasses.replace(found, lines=(*lines, where))


def _kind(what: object) -> float:
    """Return a number for a kind of exchange, small enough for sums of them to be exact."""
    return float(zlib.crc32(repr(what).encode()) & 0xFFFFF)


@functools.cache
def _sum_plan(shapes: tuple[tuple[tuple[int, ...], str], ...]) -> tuple[float, list[slice | None]]:
    """Return the kind of a sum of such arrays, and where in the header each has its place."""
    places: list[slice | None] = []
    start = _ROOM
    for shape, _ in shapes:
        end = start + int(np.prod(shape, dtype=np.int64))
        places.append(slice(start, end) if end <= _HEADER else None)
        start = end if end <= _HEADER else start
    return _kind(shapes), places


def _cores() -> set[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))
