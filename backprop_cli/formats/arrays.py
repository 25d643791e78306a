"""NumPy's own files, read without pickles, and what is wrong with those that cannot be read."""

from __future__ import annotations

import lzma
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.formats.files import reading, refuse_bomb
from backprop_cli.regular import open_regular

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
_NPY, _ZIP = b"\x93NUMPY", b"PK"  # how the files begin
# Those that NumPy writes. The readers of others unpack all that a few bytes hold at once.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PACKED_OTHERWISE = (
    "expected arrays that are stored or deflated, found another compression; write the file again "
    "with numpy.savez"
)
_OBJECTS = (
    "it holds Python objects, which could run code when they are read; save numbers or text: "
    'array.astype("float32") for features, array.astype(str) for labels'
)


def read_npy(path: pathlib.Path) -> NDArray[Any]:
    """Memory-map one .npy file: data is read when it is used; a header that is too large fails."""
    with reading(path):
        try:
            # Sizes whose product overflows are an error.
            with np.errstate(over="raise"), open_regular(path):
                array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
        except _BROKEN as error:
            raise DataError(f"{path}: {_wrong_with_npy(path, error)}") from error
    return array


def read_npz(
    path: pathlib.Path, choose: Callable[[Sequence[str]], Sequence[str]]
) -> list[NDArray[Any]]:
    """Read those arrays of an .npz file that ``choose`` returns of its names."""
    with reading(path):
        try:
            # Opened here, because np.load does not close a file that is not an archive.
            with open_regular(path) as stream:
                archive = np.load(stream, allow_pickle=False)
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise DataError(f"{path}: expected an .npz, found a single array")
                names = choose(archive.files)
                packed = zipfile.ZipFile(stream)
                for member in packed.infolist():
                    if member.filename.removesuffix(".npy") in names:
                        if member.compress_type not in _COMPRESSIONS:
                            raise DataError(f"{path}: {_PACKED_OTHERWISE}")
                        refuse_bomb(path, member.file_size, member.compress_size)
                arrays = [archive[name] for name in names]
        except DataError:
            raise
        except _BROKEN as error:
            raise DataError(f"{path}: {_wrong_with_npz(path, error)}") from error
    for name, array in zip(names, arrays, strict=True):
        if not isinstance(array, np.ndarray):  # NumPy returns a member that is not an .npy as bytes
            raise DataError(f"{path}: {name} is not an array")
    return arrays


def _wrong_with_npy(path: pathlib.Path, error: BaseException) -> str:
    start, said = _first_bytes(path), str(error)
    if not start:
        return "the file is empty; write it again with numpy.save"
    if start != _NPY:
        if _NPY.startswith(start):
            return "cut short within its header; copy it or write it again"
        return "not an .npy file; write one with numpy.save"
    if "Python objects" in said or "pickle" in said:
        return _OBJECTS
    if "EOF" in said or "mmap length" in said:
        return "cut short: it holds less than its header says; copy it or write it again"
    return "its header is damaged; write the file again with numpy.save"


def _wrong_with_npz(path: pathlib.Path, error: BaseException) -> str:
    start, said = _first_bytes(path), str(error)
    if not start:
        return "the file is empty; write it again with numpy.savez"
    if start[:2] != _ZIP and start != _NPY:
        return "not an .npz file; write one with numpy.savez"
    if "Object arrays" in said:
        return _OBJECTS
    return "cut short or damaged; copy it or write it again with numpy.savez"


def _first_bytes(path: pathlib.Path) -> bytes:
    with open_regular(path) as stream:
        return stream.read(len(_NPY))


class Shaped(Protocol):
    """What has a shape and a type."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its numbers."""
        ...


def described(array: Shaped) -> str:
    """Return the shape and the type of an array, for messages."""
    return f"{' x '.join(map(str, array.shape)) or 'a single value'} of {array.dtype}"
