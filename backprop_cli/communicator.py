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
_PATIENCE = 5.0  # seconds that others have to come before a process says why it fails


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
    said
        Whether the process has said the lines itself.
    """

    status: int
    lines: tuple[str, ...]
    signal: int | None
    host: str
    elsewhere: bool
    said: bool = False


class ElsewhereError(BackpropError):
    """Another process has failed. What has happened is known at the end, from that process."""


class Mpi:
    """Processes that a launcher such as mpiexec has started, through mpi4py.

    A process may fail, or be stopped, while others wait for it. So every exchange begins with a
    header of one size, in which a process can say that it leaves; the others then leave too. All
    wait for each other, however long one takes: it may be saving. A process that is killed is the
    launcher's to notice.

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
        self._left = self._inside = False
        self._news: Any = self._comm.Dup()
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
            self._inside = True
            sums = []
            for array, place in zip(arrays, places, strict=True):
                if place is None:
                    total = np.require(array, requirements=["C", "W"])
                    self._comm.Allreduce(self._in_place, total)
                else:
                    total = self._all[place].astype(array.dtype).reshape(array.shape)
                sums.append(total)
            self._inside = False
        return sums

    def gather(self, value: T) -> list[T]:
        """Return the value of every process, by rank; it is anything that can be pickled."""
        with self._held():
            self._begin(_kind("gather"))
            self._inside = True
            values: list[T] = self._comm.allgather(value)
            self._inside = False
        return values

    def first(self, make: Callable[[], T]) -> T:
        """Return what rank 0 makes, which is anything that can be pickled."""
        made = make() if self.rank == 0 else None
        with self._held():
            self._begin(_kind("first"))
            self._inside = True
            found: T = self._comm.bcast(made)
            self._inside = False
        return found

    def listen(self) -> None:
        """Leave if another process does: for long passes, in which nothing is exchanged.

        Raises
        ------
        ElsewhereError, KeyboardInterrupt
            Another process has failed, or was stopped.
        """
        if not self._left and self._news.Iprobe():
            with self._held():
                self._begin(_kind("listen"))

    def leave(self, ending: Ending, say: Callable[[Ending], None]) -> Ending:
        """Return the ending of all: the same on each, so that they exit with one status.

        Parameters
        ----------
        ending
            How this process ends.
        say
            Says why. It is called if others do not come soon, from another thread, or if they
            cannot: this process has failed in an exchange, and all are ended at once.
        """
        own, requests = ending, []

        def say_own() -> None:
            nonlocal own
            own = dataclasses.replace(ending, said=True)
            say(_named(ending, self.rank, self.size))

        with self._held():
            if self._inside:
                say_own()
                self._comm.Abort(ending.status)
            if not self._left:
                self._left = True
                if ending.status:
                    others = (other for other in range(self.size) if other != self.rank)
                    requests = [self._news.isend(None, other) for other in others]
                late = threading.Timer(_PATIENCE, say_own)
                late.daemon = True
                if ending.status and ending.signal is None:
                    late.start()
                self._exchange(_kind("leave"))
                late.cancel()
                if late.ident is not None:
                    late.join()
                self._comm.allgather(own)
            endings = self._comm.allgather((own, bool(requests)))
            for rank, (_, told) in enumerate(endings):
                if told and rank != self.rank:
                    self._news.recv(source=rank)
            for request in requests:
                request.wait()
        return _of_all([end for end, _ in endings])

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
    """Return the ending that counts: a failure before a stop, and of several the first rank's.

    One that was said already counts first, and has nothing more to say.
    """
    own = [(rank, end) for rank, end in enumerate(endings) if not end.elsewhere]
    said = [(rank, end) for rank, end in own if end.said]
    failed = [(rank, end) for rank, end in own if end.status and end.signal is None]
    stopped = [(rank, end) for rank, end in own if end.signal is not None]
    rank, found = (said or failed or stopped or own)[0]
    return dataclasses.replace(found, lines=()) if said else _named(found, rank, len(endings))


def _named(ending: Ending, rank: int, size: int) -> Ending:
    """Return the ending of a process, whose lines say which one it is unless it is the first."""
    if rank == 0 or ending.signal is not None or not ending.lines:
        return ending
    *lines, last = ending.lines
    where = f"{last} (process {rank + 1} of {size}, on {ending.host})"
    return dataclasses.replace(ending, lines=(*lines, where))


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
