"""Shuffling files of features on disk, in two passes and bounded memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from backprop_cli.atomic import write_atomically, writing
from backprop_cli.errors import ConfigError, DataError, OutputError
from backprop_cli.exclusive import only_process
from backprop_cli.formats.columns import Values
from backprop_cli.formats.feature_files import FeatureFiles
from backprop_cli.rng import Stream, generator

FEATURES, LABELS, ROWS = "features.npy", "labels.npy", "rows.npy"
_BUCKETS, _STATE = ".buckets", ".shuffle.json"


@dataclass(frozen=True)
class _State:
    """How far a shuffle has come: what is done is on the disk."""

    job: str
    memory: int
    scattered: int = 0
    written: int = 0


class FileShuffle:
    """Writes the examples of some files into a folder, in a random order.

    The first pass appends each example to its bucket, the part of the result that it belongs to;
    the second puts each bucket, which fits in memory, into its order. The order follows from the
    seed. A step that is made again writes the same bytes, so a shuffle that was stopped goes on.

    Parameters
    ----------
    features
        What to shuffle.
    labels
        The labels that go with them; None: there are none.
    folder
        Where the result goes; made if it is not there.
    seed
        Of the order.
    memory
        How many bytes of features may be in memory at once.

    Attributes
    ----------
    steps
        How many there are, of both passes, in examples.
    """

    def __init__(
        self,
        features: FeatureFiles,
        labels: Values | None,
        folder: pathlib.Path,
        seed: int,
        memory: int,
    ) -> None:
        self._features, self._labels, self._folder = features, labels, folder
        n, self._memory = features.n_examples, memory
        if n * features.n_features == 0:
            raise DataError(f"{features.name}: expected examples, found none")
        if labels is not None and len(labels) != n:
            raise DataError(f"--labels: {len(labels)} labels for {n} examples of {features.name}")
        self._row_bytes = features.n_features * features.dtype.itemsize
        if memory < 2 * self._row_bytes:
            raise ConfigError(
                f"expected a memory of {2 * self._row_bytes} bytes or more, which is two examples, "
                f"found {memory}: give a larger --memory"
            )
        self._bucket = memory // 2 // self._row_bytes
        self._order = generator(seed, Stream.FILES).permutation(n)
        sizes = [(str(f.path), f.path.stat().st_size, f.path.stat().st_mtime_ns)
                 for f in features.files]  # fmt: skip
        self._job = json.dumps([sizes, seed])
        self.steps = 2 * n

    def run(self, tell: Callable[[int], None], *, resume: bool) -> None:
        """Shuffle; ``tell`` hears how many steps were made, and may raise KeyboardInterrupt.

        A shuffle that has finished is not made again with ``resume``.

        Raises
        ------
        OutputError
            The folder holds something, or another shuffle; the disk is, or would be, full.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from error
        with only_process(self._folder, "working"):
            if resume and has_finished(self._folder):
                tell(self.steps)
                return
            state = self._begin(resume)
            tell(state.scattered + state.written)
            try:
                self._finish(state, tell)
            except DataError:  # the input has to be mended, and is another one then
                self._remove(_STATE, _BUCKETS, f".{FEATURES}")
                raise
            except OutputError:
                raise
            except OSError as error:
                raise self._cannot_write(error, "; go on with --resume") from error

    def _finish(self, state: _State, tell: Callable[[int], None]) -> None:
        whole = self._folder / f".{FEATURES}"
        if state.written < self._features.n_examples or whole.exists():
            state = self._scatter(state, tell)
            self._gather(state, tell)
            self._write(ROWS, self._order)
            if self._labels is not None:
                self._write(LABELS, np.asarray(self._labels)[self._order])
            whole.replace(self._folder / FEATURES)
        self._remove(_STATE, _BUCKETS)  # what is left, if it was stopped here

    def _write(self, name: str, array: NDArray[Any]) -> None:
        with writing(self._folder / name) as stream:
            npy_format.write_array(stream, array, allow_pickle=False)

    def _remove(self, *names: str) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()

    def _cannot_write(self, error: OSError, remedy: str = "") -> OutputError:
        return OutputError(f"{self._folder}: cannot write: {error.strerror or error}{remedy}")

    def _begin(self, resume: bool) -> _State:
        try:
            if resume:
                return self._saved()
            if any(self._folder.iterdir()):
                raise OutputError(
                    f"{self._folder}: is not empty; choose another folder, or --resume a shuffle "
                    "that was stopped there"
                )
            need, free = self.steps * self._row_bytes, shutil.disk_usage(self._folder).free
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise self._cannot_write(error) from error
        if need > free:
            raise OutputError(
                f"{self._folder}: a shuffle needs {need} bytes, twice the size of the features, "
                f"and {free} are free"
            )
        return self._save(_State(self._job, self._memory))

    def _saved(self) -> _State:
        """Return how far the shuffle in the folder has come."""
        state = _read_state(self._folder)
        if (state.job, state.memory) != (self._job, self._memory):
            raise OutputError(
                f"{self._folder}: the shuffle there is of other files, or with another --seed or "
                "--memory"
            )
        return state

    def _save(self, state: _State) -> _State:
        text = json.dumps(dataclasses.asdict(state))
        write_atomically(self._folder / _STATE, text.encode())
        return state

    def _scatter(self, state: _State, tell: Callable[[int], None]) -> _State:
        """Append every example to its bucket."""
        n = self._features.n_examples
        if state.scattered == n:
            return state
        # Where each example of the input goes, and how full each bucket is.
        places = np.empty(n, np.intp)
        places[self._order] = np.arange(n)
        buckets = places // self._bucket
        filled = np.bincount(buckets[: state.scattered], minlength=math.ceil(n / self._bucket))
        start = 0
        with _opened(self._folder / _BUCKETS) as file:
            for chunk in self._features.chunks(self._memory):
                first, start = start, start + len(chunk)
                if start <= state.scattered:
                    continue
                if first < state.scattered:  # chunks are cut alike each time
                    raise OutputError(f"{self._folder}: the shuffle there cannot be gone on with")
                own = buckets[first:start]
                by_bucket = np.argsort(own, kind="stable")
                edges = np.flatnonzero(np.diff(own[by_bucket], prepend=-1))
                for rows in np.split(by_bucket, edges[1:]):
                    bucket = int(own[rows[0]])
                    at = bucket * self._bucket + int(filled[bucket])
                    file.seek(at * self._row_bytes)
                    file.write(np.ascontiguousarray(chunk[rows]).data)
                    filled[bucket] += len(rows)
                _to_disk(file)
                state = self._save(dataclasses.replace(state, scattered=start))
                tell(len(chunk))
        return state

    def _gather(self, state: _State, tell: Callable[[int], None]) -> None:
        """Put every bucket into its order."""
        n, d = self._features.n_examples, self._features.n_features
        header = {
            "descr": npy_format.dtype_to_descr(self._features.dtype),
            "fortran_order": False,
            "shape": (n, *self._features.files[0].shape[1:]),
        }
        with (
            (self._folder / _BUCKETS).open("rb") as buckets,
            _opened(self._folder / f".{FEATURES}") as file,
        ):
            npy_format.write_array_header_1_0(file, header)
            begin = file.tell()
            for first in range(0, n, self._bucket):
                order = self._order[first : first + self._bucket]
                if first + len(order) <= state.written:
                    continue
                buckets.seek(first * self._row_bytes)
                rows = np.fromfile(buckets, self._features.dtype, len(order) * d)
                # In the bucket, examples are in the order of the input.
                rank: NDArray[np.intp] = np.argsort(np.argsort(order))
                file.seek(begin + first * self._row_bytes)
                file.write(rows.reshape(len(order), d)[rank].data)
                _to_disk(file)
                state = self._save(dataclasses.replace(state, written=first + len(order)))
                tell(len(order))


def has_finished(folder: pathlib.Path) -> bool:
    """Say whether a folder has a result, and no shuffle to go on with."""
    return (folder / FEATURES).exists() and not (folder / _STATE).exists()


def memory_of_shuffle(folder: pathlib.Path) -> int:
    """Return the memory of the shuffle that was stopped in a folder.

    Raises
    ------
    OutputError
        There is none.
    """
    return _read_state(folder).memory


def _read_state(folder: pathlib.Path) -> _State:
    try:
        return _State(**json.loads((folder / _STATE).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{folder}: no shuffle to go on with") from error


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Open a file to write at any place; what it has stays."""
    path.touch()
    with path.open("r+b") as file:
        yield file


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
