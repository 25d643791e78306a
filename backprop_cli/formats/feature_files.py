"""Features in files of any kind that they come in: found first, and then read or left there."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.formats.array_names import ArrayNames
from backprop_cli.formats.arrays import described, read_npy, read_npz
from backprop_cli.formats.columns import Values, joined
from backprop_cli.formats.files import matching, reading, way_out
from backprop_cli.formats.parquet import read_table
from backprop_cli.formats.safetensors import Tensor, read_tensors
from backprop_cli.sources import Extent, FileRows, ImageLayout, Source, StoredFeatures, WatchedFile


@dataclass(frozen=True)
class FeatureFile:
    """The features of one file.

    Attributes
    ----------
    path
        The file.
    shape, dtype
        N x d, or N x height x width (x channels); of the numbers as they are stored.
    offset
        Where the numbers begin, row by row; None where they cannot be read by rows.
    bfloat16
        Whether the 16 bits of ``dtype`` are the first half of a float32.
    array
        The features, mapped or read; None if they have to be read, from ``offset`` on or by
        ``batches``.
    batches
        Reads the features, some rows at a time, from the first to the last; None if there is
        another way.
    labels
        What the file has as labels; None if it has none.
    """

    path: pathlib.Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int | None = None
    bfloat16: bool = False
    array: NDArray[Any] | None = None
    batches: Callable[[], Iterator[NDArray[Any]]] | None = None
    labels: Values | None = None


@dataclass(frozen=True)
class FeatureFiles:
    """The features of one file or of several, which follow each other.

    Attributes
    ----------
    name
        As the config has it, for messages.
    files
        At least one; all hold examples of one size and type.
    """

    name: str
    files: tuple[FeatureFile, ...]

    @property
    def n_examples(self) -> int:
        """The number of examples, N."""
        return sum(file.shape[0] for file in self.files)

    @property
    def n_features(self) -> int:
        """The number of features, d."""
        return math.prod(self.files[0].shape[1:])

    @property
    def size(self) -> int:
        """The bytes that all features take in memory."""
        first = self.files[0]
        return self.n_examples * self.n_features * (4 if first.bfloat16 else first.dtype.itemsize)

    @property
    def image(self) -> ImageLayout | None:
        """How examples are images; None for plain features."""
        return image_layout(self.files[0].shape)

    def labels(self) -> Values | None:
        """Return the labels that the files have; None if they have none."""
        found = [file.labels for file in self.files if file.labels is not None]
        if found and len(found) < len(self.files):
            raise DataError(f"{self.name}: some of the files have labels, and some have none")
        return joined(found, self.name) if found else None

    @property
    def parts(self) -> FileRows:
        """The name and the rows of each file, where there are several."""
        several = self.files if len(self.files) > 1 else ()
        return tuple((str(file.path), file.shape[0]) for file in several)

    def source(self, memory: int | None) -> Source:
        """Return the examples, without labels.

        Parameters
        ----------
        memory
            The bytes that features may take in memory, while they stay in their files; None: they
            are in memory.
        """
        features: NDArray[Any] | StoredFeatures
        features, files = self._read() if memory is None else self._stored(memory)
        return Source(
            features, np.empty(0, np.int64), self.name, self.image, files, parts=self.parts
        )

    def _read(self) -> tuple[NDArray[Any], tuple[WatchedFile, ...]]:
        """Return all features, n x d, and the files that are read while they are used.

        A single .npy is mapped; all others are read.
        """
        first = self.files[0]
        if len(self.files) == 1 and first.array is not None:
            is_mapped = isinstance(first.array, np.memmap)
            mapped = [WatchedFile.opened(first.path)] if is_mapped else []
            return as_features(first.array, self.name)[0], tuple(mapped)
        watched = tuple(WatchedFile.opened(file.path) for file in self.files)
        with reading(self.name):
            out = np.empty((self.n_examples, self.n_features), self.dtype)
        start = 0
        for file in self.files:
            part = out[start : start + file.shape[0]]
            start += len(part)
            if file.offset is not None:
                _stored((file,), self.n_features, 0).read(np.arange(len(part)), part)
            elif file.array is not None:
                part[...] = as_features(file.array, str(file.path))[0]
            elif file.batches is not None:
                n = 0
                for batch in file.batches():
                    part[n : n + len(batch)] = batch
                    n += len(batch)
        for known in watched:
            known.check()
        return out, ()

    @property
    def in_blocks(self) -> bool:
        """Whether all files can be read block by block."""
        return all(file.offset is not None for file in self.files)

    def _stored(self, memory: int) -> tuple[StoredFeatures, tuple[WatchedFile, ...]]:
        """Return the features that stay in their files, and these files.

        Raises
        ------
        DataError
            A file can only be read whole.
        """
        for file in self.files:
            if file.offset is None:
                how = "save them row by row as .npy or .safetensors"
                if file.batches is not None:
                    how = "backprop data shuffle makes an .npy of them"
                raise DataError(
                    f"{file.path}: its features do not fit in data.memory, {memory} bytes, and "
                    f"this file cannot be read in blocks; {how}, or set data.memory: all"
                )
        watched = tuple(WatchedFile.opened(file.path) for file in self.files)
        return _stored(self.files, self.n_features, memory), watched

    def chunks(self, memory: int) -> Iterator[NDArray[Any]]:
        """Yield all features, n x d, in the order of the files, within a quarter of ``memory``.

        What can only be read whole is read whole. A chunk may be overwritten by the next.
        """
        for file in self.files:
            if file.batches is not None:
                yield from file.batches()
                continue
            own = FeatureFiles(self.name, (file,))
            source = own.source(memory if file.offset is not None else None)
            for _, chunk in source.chunks(memory // 4):
                yield chunk
            source.check_unchanged()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of features in memory."""
        return _stored(self.files[:1], self.n_features, 0).dtype


def _stored(files: Sequence[FeatureFile], n_features: int, memory: int) -> StoredFeatures:
    first = files[0]
    extents = [Extent(file.path, file.offset or 0, file.shape[0]) for file in files]
    dtype = np.dtype(np.uint8) if first.dtype.kind == "b" else first.dtype
    return StoredFeatures(extents, n_features, dtype, bfloat16=first.bfloat16, memory=memory)


def is_feature_file(path: pathlib.Path) -> bool:
    """Say whether a file's name tells that it holds arrays of features."""
    return path.suffix.lower() in _READERS


def find_features(name: str, names: ArrayNames) -> FeatureFiles:
    """Find the features of a file, or of all files that a pattern stands for.

    Parameters
    ----------
    name
        A file name, or a pattern such as ``features/*.npy``.
    names
        Of the arrays in a file that has several.

    Raises
    ------
    DataError
        A file cannot be read or does not hold features, or files do not go together.
    """
    paths = matching(name)
    files = []
    for path in paths:
        suffix = path.suffix.lower()
        with reading(path):
            if path.is_dir() or (suffix not in _READERS and path.exists()):
                raise DataError(f"{path}: {way_out(path)}")
        file = _READERS.get(suffix, _npy)(path, names)
        check_layout(file, name if len(paths) == 1 else str(path))
        if len(paths) > 1 and file.offset is not None:
            file = replace(file, array=None)  # a process may not keep thousands of files open
        files.append(file)
    first = files[0]
    for file in files[1:]:
        if file.shape[1:] != first.shape[1:] or (file.dtype, file.bfloat16) != (
            first.dtype, first.bfloat16
        ):  # fmt: skip
            raise DataError(
                f"{file.path}: {described(file)}, but {first.path} is {described(first)}; all "
                f"files of {name} must have examples of one size and type"
            )
    return FeatureFiles(name, tuple(files))


def _npy(path: pathlib.Path, names: ArrayNames) -> FeatureFile:
    array = read_npy(path)
    by_rows = isinstance(array, np.memmap) and array.flags.c_contiguous
    offset = array.offset if isinstance(array, np.memmap) and by_rows else None
    return FeatureFile(path, array.shape, array.dtype, offset, array=array)


def _npz(path: pathlib.Path, names: ArrayNames) -> FeatureFile:
    arrays = read_npz(path, lambda found: names.choose(found, path))
    labels = arrays[1] if len(arrays) > 1 else None
    return FeatureFile(path, arrays[0].shape, arrays[0].dtype, array=arrays[0], labels=labels)


def _safetensors(path: pathlib.Path, names: ArrayNames) -> FeatureFile:
    tensors = read_tensors(path)
    chosen: list[Tensor] = [tensors[name] for name in names.choose(list(tensors), path)]
    features, labels = chosen[0], chosen[1].read() if len(chosen) > 1 else None
    return FeatureFile(
        path, features.shape, features.dtype, features.offset, features.bfloat16, labels=labels
    )


def _parquet(path: pathlib.Path, names: ArrayNames) -> FeatureFile:
    table = read_table(path, names)
    return FeatureFile(path, table.shape, table.dtype, batches=table.batches, labels=table.labels)


_READERS: dict[str, Callable[[pathlib.Path, ArrayNames], FeatureFile]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".parquet": _parquet,
}


def check_layout(x: NDArray[Any] | FeatureFile, name: str) -> None:
    """Refuse an array that does not hold features; the message begins with ``name``."""
    if x.dtype.kind not in "iubf" or x.dtype.itemsize > 8:
        raise DataError(f"{name}: features: expected real numbers, found {described(x)}")
    if len(x.shape) not in (2, 3, 4):
        raise DataError(
            f"{name}: features: expected n x d, or n x height x width (x channels), "
            f"found {described(x)}"
        )


def image_layout(shape: Sequence[int]) -> ImageLayout | None:
    """Return how the examples of an array of this shape are images; None for n x d."""
    if len(shape) == 2:
        return None
    height, width, channels = (int(size) for size in (*shape[1:], 1)[:3])
    return ImageLayout(channels, height, width, interleaved=channels > 1)


def as_features(x: NDArray[Any], name: str) -> tuple[NDArray[Any], ImageLayout | None]:
    """Return n x d features in the machine's byte order, and how they are images.

    An array in this machine's byte order, row by row, is returned as a view.

    Raises
    ------
    DataError
        If the array does not hold real numbers or has another number of dimensions. The message
        begins with ``name``.
    """
    check_layout(x, name)
    image = image_layout(x.shape)
    if x.dtype.kind == "b":
        x = np.ascontiguousarray(x).view(np.uint8)
    rows = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    return rows.astype(x.dtype.newbyteorder("="), copy=False), image
