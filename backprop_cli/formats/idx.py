"""IDX files of the MNIST family, plain or gzip.

Two zero bytes, a type byte, the number of dimensions, each dimension as a big-endian 32-bit
integer, then the array, row by row, big-endian.
"""

from __future__ import annotations

import gzip
import math
import pathlib
import struct
import zlib
from collections.abc import Sequence
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.data import IdxData
from backprop_cli.errors import DataError
from backprop_cli.formats.classes import configured_names
from backprop_cli.formats.files import existing, folder, reading, refuse_bomb, training_files
from backprop_cli.formats.labels import numbered_labels
from backprop_cli.formats.parts import Part, Parts
from backprop_cli.regular import open_regular
from backprop_cli.sources import ImageLayout, Source

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 8
_MAX_DEFLATE_RATIO = 1032  # the most bytes that one byte of a gzip stream unpacks to

TRAIN = "train-images-idx3-ubyte"
TEST = "t10k-images-idx3-ubyte"


def read(data: IdxData) -> Parts:
    """Read the files that a config names."""
    directory = folder(data.path)
    validation = test = None
    if isinstance(data.validation, str):
        validation = _read_files(directory, [data.validation])
    if isinstance(data.test, str) or data.test is None:
        test = _read_files(directory, [data.test or TEST])
    train = _read_files(directory, training_files(data, [TRAIN], TEST, ".gz"))
    return Parts(train, validation, test, configured_names(data.classes))


def _read_files(directory: pathlib.Path, names: Sequence[str]) -> Part:
    pairs, layouts, paths, label_paths = [], set(), [], []
    for name in names:
        path = existing(directory, name, f"{name}.gz")
        label_path = _labels_path(path)
        images, labels = read_idx(path), read_idx(label_path)
        if images.ndim != 3:
            raise DataError(f"{path}: expected images, n x height x width, found {images.shape}")
        if not len(images):
            raise DataError(f"{path}: expected examples, found no images")
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise DataError(f"{label_path}: expected n integers, found {labels.shape}")
        if len(images) != len(labels):
            raise DataError(
                f"{label_path}: {len(labels)} labels for the {len(images)} images of {path}"
            )
        n_pixels = images.shape[1] * images.shape[2]
        pairs.append((images.reshape(len(images), n_pixels), labels.astype(np.int64)))
        layouts.add(ImageLayout(1, int(images.shape[1]), int(images.shape[2])))
        paths.append(str(path))
        label_paths.append(str(label_path))
    if len(layouts) > 1:
        raise DataError(f"{', '.join(paths)}: images of different sizes")
    features, labels = pairs[0]
    if len(pairs) > 1:
        features = np.concatenate([images for images, _ in pairs])
        labels = np.concatenate([labels for _, labels in pairs])
    source = Source(features, np.empty(0, np.int64), ", ".join(paths), layouts.pop())
    return Part(source, numbered_labels(labels, ", ".join(label_paths)))


def _labels_path(images: pathlib.Path) -> pathlib.Path:
    name = images.name.replace("images-idx3", "labels-idx1")
    if name == images.name:
        raise DataError(f"{images}: expected a name with 'images-idx3' in it")
    stem = name.removesuffix(".gz")
    return existing(images.parent, name, stem, f"{stem}.gz")


def read_idx(path: pathlib.Path) -> NDArray[Any]:
    """Return the array of one IDX file, in the machine's byte order.

    Raises
    ------
    DataError
        If there is no valid header, or the file holds more or fewer bytes than it says.
    """
    with reading(path):
        size = path.stat().st_size
        try:
            if path.suffix == ".gz":
                with open_regular(path) as packed, gzip.open(packed, "rb") as stream:
                    return _read_stream(cast("IO[bytes]", stream), path, size * _MAX_DEFLATE_RATIO)
            with open_regular(path) as stream:
                return _read_stream(stream, path, size)
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}: not a whole gzip file: {error}") from error


def _read_stream(stream: IO[bytes], path: pathlib.Path, most: int) -> NDArray[Any]:
    """Read header and array of a file that holds at most ``most`` bytes, unpacked."""
    header = stream.read(4)
    known = len(header) == 4 and header[:2] == b"\0\0" and header[2] in _TYPES
    if not known or not 1 <= header[3] <= _MAX_DIMENSIONS:
        raise DataError(f"{path}: expected an IDX header, found {header.hex(' ') or 'nothing'}")
    dimensions = stream.read(4 * header[3])
    if len(dimensions) < 4 * header[3]:
        raise DataError(f"{path}: cut short within its header")
    shape = struct.unpack(f">{header[3]}I", dimensions)
    dtype = np.dtype(_TYPES[header[2]])
    n_bytes = math.prod(shape) * dtype.itemsize  # checked before anything is allocated
    sizes = " x ".join(map(str, shape))
    if path.suffix == ".gz":
        refuse_bomb(path, n_bytes, most // _MAX_DEFLATE_RATIO)
    if n_bytes > most:
        raise DataError(f"{path}: cut short: its header says {sizes}, more than the file holds")
    raw = stream.read(n_bytes + 1)
    if len(raw) != n_bytes:
        word = "cut short" if len(raw) < n_bytes else "longer than its header says"
        raise DataError(f"{path}: {word}: expected {sizes} of {dtype.itemsize} bytes")
    try:
        array = np.frombuffer(raw, dtype).reshape(shape)
    except ValueError as error:  # one size is zero, another absurdly large
        raise DataError(
            f"{path}: its header says {sizes}, which is not a possible array"
        ) from error
    return array.astype(dtype.newbyteorder("="), copy=False)
