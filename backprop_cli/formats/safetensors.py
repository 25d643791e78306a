"""Safetensors files: where in the file each tensor is, so that its rows can be read."""

from __future__ import annotations

import json
import math
import pathlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from backprop_cli.errors import DataError
from backprop_cli.formats.files import reading

_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    Attributes
    ----------
    path
        The file.
    offset
        Where its numbers begin, in bytes.
    shape, dtype
        Its shape; the type that it is stored in.
    bfloat16
        Whether the 16 bits of ``dtype`` are the first half of a float32.
    """

    path: pathlib.Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bfloat16: bool

    def read(self) -> NDArray[Any]:
        """Return the whole tensor."""
        n = math.prod(self.shape)
        with reading(self.path):
            found = np.fromfile(self.path, self.dtype, n, offset=self.offset)
            if len(found) < n:
                raise EOFError
        if self.bfloat16:
            found = (found.astype(np.uint32) << 16).view(np.float32)
        return found.reshape(self.shape)


def read_tensors(path: pathlib.Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name; their numbers are not read.

    Raises
    ------
    DataError
        The file is broken, or has numbers of a type that NumPy does not know.
    """
    with reading(path):
        try:
            with safe_open(path, framework="numpy"):  # checks the header and the size of the file
                pass
        except SafetensorError as error:
            raise DataError(f"{path}: not a whole .safetensors file: {error}") from error
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    found = {}
    for name, about in header.items():
        if about["dtype"] not in _TYPES:
            continue
        found[name] = Tensor(
            path=path,
            offset=8 + length + int(about["data_offsets"][0]),
            shape=tuple(about["shape"]),
            dtype=np.dtype(_TYPES[about["dtype"]]),
            bfloat16=about["dtype"] == "BF16",
        )
    return found
