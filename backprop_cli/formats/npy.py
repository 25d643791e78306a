"""Arrays: an .npz with x and y, or an .npy of features beside an .npy of labels."""

from __future__ import annotations

import lzma
import math
import pathlib
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.schema import NpyData
from backprop_cli.errors import DataError, first_line
from backprop_cli.formats.classes import configured_names
from backprop_cli.formats.files import FileIdentity, file_identity, reading, refuse_bomb
from backprop_cli.formats.parts import Parts
from backprop_cli.sources import ImageLayout, Source, WatchedFile


def read(data: NpyData) -> Parts:
    """Read the files that a config names."""
    _refuse_same_files(data)
    train = _read_pair(data.path, data.labels, "labels")
    validation = test = None
    if isinstance(data.validation, str):
        validation = _read_pair(data.validation, data.validation_labels, "validation_labels")
        _same_shape(validation, train)
    if isinstance(data.test, str):
        test = _read_pair(data.test, data.test_labels, "test_labels")
        _same_shape(test, train)
    return Parts(train, validation, test, configured_names(data.classes))


def _refuse_same_files(data: NpyData) -> None:
    """Refuse a file of which two parts are made, however its names are spelt."""
    seen: dict[FileIdentity, str] = {}
    for key in ("path", "validation", "test"):
        name = getattr(data, key)
        if isinstance(name, str):
            found = file_identity(pathlib.Path(name).expanduser())
            if found in seen:
                raise DataError(
                    f"{name}: training, validation and test need files of their own; data.{key} "
                    f"is the same file as data.{seen[found]}"
                )
            seen[found] = key


def _same_shape(other: Source, train: Source) -> None:
    if other.features.shape[1] != train.features.shape[1] or other.image != train.image:
        raise DataError(
            f"{other.name}: expected examples of {_shape_text(train)} as in {train.name}, "
            f"found {_shape_text(other)}"
        )


def _shape_text(source: Source) -> str:
    """Describe the size of one example."""
    if source.image is not None:
        channels, height, width = source.image.shape
        return f"{height} x {width} x {channels} pixels"
    return f"{source.features.shape[1]} features"


def _read_pair(path: str, labels: str | None, key: str) -> Source:
    x_name, y_name = path, labels or path
    files: tuple[WatchedFile, ...] = ()
    if path.endswith(".npz"):
        if labels is not None:
            raise DataError(f"data.{key}: {path} already holds the labels, as y")
        x, y = read_npz(pathlib.Path(path).expanduser(), ("x", "y"))
    elif labels is None:
        raise DataError(f"data.{key}: expected the .npy of labels that goes with {path}")
    else:
        file = WatchedFile.opened(pathlib.Path(path).expanduser())
        x, files = read_npy(file.path), (file,)
        y = read_npy(pathlib.Path(labels).expanduser())
    if y.ndim != 1 or y.dtype.kind not in "iub":
        raise DataError(f"{y_name}: labels: expected n integers, found {_described(y)}")
    features, image = as_features(x, x_name)
    if len(x) != len(y):
        raise DataError(f"{x_name}: {len(x)} examples but {len(y)} labels")
    if y.dtype.kind == "u" and y.dtype.itemsize == 8 and len(y) and y.max() > 2**62:
        raise DataError(f"{y_name}: labels up to {y.max()}, expected class numbers")
    return Source(features, y.astype(np.int64), x_name, image, files)


def as_features(x: NDArray[Any], name: str) -> tuple[NDArray[Any], ImageLayout | None]:
    """Return n x d features in the machine's byte order, and how they are images.

    An array in this machine's byte order, row by row, is returned as a view.

    Raises
    ------
    DataError
        If the array does not hold real numbers or has another number of dimensions. The message
        begins with ``name``.
    """
    if x.dtype.kind not in "iubf" or x.dtype.itemsize > 8:
        raise DataError(f"{name}: features: expected real numbers, found {_described(x)}")
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{name}: features: expected n x d, or n x height x width (x channels), "
            f"found {_described(x)}"
        )
    image = None
    if x.ndim > 2:
        height, width, channels = (int(size) for size in (*x.shape[1:], 1)[:3])
        image = ImageLayout(channels, height, width, interleaved=channels > 1)
    if x.dtype.kind == "b":
        x = np.ascontiguousarray(x).view(np.uint8)
    rows = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    return rows.astype(x.dtype.newbyteorder("="), copy=False), image


def _described(array: NDArray[Any]) -> str:
    return f"{' x '.join(map(str, array.shape)) or 'a single value'} of {array.dtype}"


# What NumPy's readers raise on broken or hostile files, besides OSError and EOFError.
_BROKEN = (
    ArithmeticError,
    AttributeError,
    KeyError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npy(path: pathlib.Path) -> NDArray[Any]:
    """Memory-map one .npy file: data is read when it is used; a header that is too large fails."""
    with reading(path):
        try:
            with np.errstate(over="raise"):  # sizes whose product overflows
                array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        except _BROKEN as error:
            raise DataError(f"{path}: not a whole .npy file of numbers: {_line(error)}") from error
    return array


def read_npz(path: pathlib.Path, names: tuple[str, ...]) -> list[NDArray[Any]]:
    """Read the named arrays of an .npz file."""
    with reading(path):
        try:
            # Opened here, because np.load does not close a file that is not an archive.
            with path.open("rb") as stream:
                archive = np.load(stream, allow_pickle=False)
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise DataError(f"{path}: expected an .npz, found a single array")
                for name in names:
                    if name not in archive:
                        found = ", ".join(archive.files) or "none"
                        raise DataError(f"{path}: expected an array {name!r}, found {found}")
                packed = zipfile.ZipFile(stream)
                for member in packed.infolist():
                    if member.filename.removesuffix(".npy") in names:
                        refuse_bomb(path, member.file_size, member.compress_size)
                arrays = [archive[name] for name in names]
        except DataError:
            raise
        except _BROKEN as error:
            raise DataError(f"{path}: not a whole .npz file of numbers: {_line(error)}") from error
    for name, array in zip(names, arrays, strict=True):
        if not isinstance(array, np.ndarray):  # NumPy returns a member that is not an .npy as bytes
            raise DataError(f"{path}: {name} is not an array")
    return arrays


def _line(error: BaseException) -> str:
    line = first_line(error)
    # NumPy takes any content it does not know for a pickle, and says how to load one.
    return "it holds Python objects, or is another kind of file" if "pickle" in line else line
