"""Reading the pickles in which CIFAR is published, without running anything they name.

A pickle names the functions that rebuild its objects. The published files need three of NumPy's
to rebuild an array; copies written by Python 3 need one more, for byte strings. Each of these names
is replaced by a stand-in defined here, and every other name is refused.
"""

from __future__ import annotations

import io
import os
import pathlib
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.formats.files import reading
from backprop_cli.regular import open_regular


class _Dtype:
    """Stands for numpy.dtype: uint8 is the only type that the published files have."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"an array of type {name!r}, expected u1")

    def __setstate__(self, state: Any) -> None:
        """Ignore byte order and flags: a single byte has none."""


class _Array:
    """Stands for numpy.ndarray: keeps what the file says until all of it can be checked."""

    def __init__(self) -> None:
        self.value: np.ndarray[Any, np.dtype[np.uint8]] = np.empty((0, 0), np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, raw = state
        if isinstance(raw, str):
            raw = raw.encode("latin-1")
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes | memoryview) or column_major:
            raise pickle.UnpicklingError("an array that is not a block of bytes in row-major order")
        rows, columns = shape
        if type(rows) is not int or type(columns) is not int or rows < 0 or columns < 0:
            raise pickle.UnpicklingError("an array that does not have two dimensions")
        if rows * columns != len(raw):
            raise pickle.UnpicklingError(f"an array of shape {shape} in {len(raw)} bytes")
        self.value = np.frombuffer(raw, np.uint8).reshape(rows, columns)


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: str, encoding: str = "latin-1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text in {encoding!r}, expected latin-1")
    return text.encode("latin-1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


_LARGE = 65_536  # bytes; pieces of this size or more are read into the caller's buffer

# The opcodes of the published files, and of copies in any protocol. No other is accepted.
_OPCODES = """
PROTO FRAME STOP MARK EMPTY_DICT DICT SETITEM SETITEMS EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE
TUPLE TUPLE1 TUPLE2 TUPLE3 NONE NEWTRUE NEWFALSE INT LONG LONG1 BININT BININT1 BININT2 STRING
BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES PUT BINPUT
LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD
"""


class _Content:
    """The file that the unpickler reads; large pieces are read into a buffer of the caller's."""

    def __init__(self, file: io.BufferedReader, size: int, room: NDArray[np.uint8]) -> None:
        self._file, self._size, self._room = file, size, room

    def read(self, size: int) -> bytes | memoryview:
        if size < _LARGE:
            return self._file.read(size)
        size = min(size, max(0, self._size - self._file.tell()))  # a file may ask for anything
        piece = self._room[:size] if size <= len(self._room) else np.empty(size, np.uint8)
        self._room = self._room[size:]
        return piece.data[: self._file.readinto(piece.data)]

    def readline(self) -> bytes:
        return self._file.readline()


class _Unpickler(pickle._Unpickler):
    """The standard library's pure Python unpickler, with fewer opcodes.

    The one in C lets a file of a few bytes allocate gigabytes for its memo, and crashes the
    interpreter on a dictionary key that is nested too deeply to be hashed.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        code: pickle._Unpickler.dispatch[code]
        for code in (ord(getattr(pickle, name)) for name in _OPCODES.split())
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks to run {module}.{name}, which no CIFAR file does"
            ) from None

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._set(items)

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _set(self, items: list[Any]) -> None:
        dictionary = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, bytes | str):
                raise pickle.UnpicklingError("a dictionary with a key that is not text")
            dictionary[key] = value

    def _make_dictionary(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set(items)

    dispatch[ord(pickle.SETITEMS)] = _set_items
    dispatch[ord(pickle.SETITEM)] = _set_item
    dispatch[ord(pickle.DICT)] = _make_dictionary


def load(path: pathlib.Path, room: NDArray[np.uint8] | None = None) -> dict[str, Any]:
    """Return the dictionary that a CIFAR pickle holds; arrays are n x d, uint8.

    Parameters
    ----------
    path
        The file.
    room
        A buffer for large pieces, which are read into it one after the other while they fit.

    Raises
    ------
    DataError
        If the file is cut short, is not a pickle, or does not hold such a dictionary.
    """
    with reading(path), open_regular(path) as file:
        room = np.empty(0, np.uint8) if room is None else room
        # A large piece is a memoryview, which the type stubs of pickle do not allow.
        source: Any = _Content(file, os.fstat(file.fileno()).st_size, room)
        value = _unpickled(source, path)
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a dictionary, found {type(value).__name__}")
    return {_text(key): _plain(item) for key, item in value.items()}


def _unpickled(source: Any, path: pathlib.Path) -> Any:
    try:
        return _Unpickler(source, encoding="bytes").load()
    except OSError:
        raise
    except Exception as error:
        # A broken pickle can raise almost anything; only our own messages are meant for the user.
        what = error if isinstance(error, pickle.UnpicklingError) else "cut short or damaged"
        raise DataError(f"{path}: not a CIFAR file of the python layout: {what}") from error


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


def names(value: Any, path: pathlib.Path) -> tuple[str, ...]:
    """Return a list of class names as text."""
    if not isinstance(value, list) or not all(isinstance(name, bytes | str) for name in value):
        raise DataError(f"{path}: expected a list of class names")
    return tuple(_text(name) for name in value)
