"""CIFAR-10 and CIFAR-100 in the two layouts their authors publish.

Python layout: one Python 2 pickle per file, with ``data`` (n x 3072, uint8) and lists of labels.
Binary layout: one record per image, which is a label byte (CIFAR-100: two, coarse then fine) and
3072 pixels. In both layouts the pixels are the red, green and blue planes, each row by row.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.data import Cifar10Data, Cifar100Data
from backprop_cli.errors import DataError
from backprop_cli.formats import python2_pickle
from backprop_cli.formats.classes import numbered
from backprop_cli.formats.files import existing, folder, reading, training_files
from backprop_cli.formats.labels import numbered_labels
from backprop_cli.formats.parts import Part, Parts
from backprop_cli.regular import open_regular, read_regular
from backprop_cli.sources import ImageLayout, Source

N_PIXELS = 3072
_MAX_NAMES = 10_000  # bytes
_RECORDS = 1000  # of the binary layout, read at once
IMAGE = ImageLayout(channels=3, height=32, width=32)


@dataclass(frozen=True)
class _Kind:
    """What differs between CIFAR-10 and the two labellings of CIFAR-100."""

    n_classes: int
    train: tuple[str, ...]
    test: str
    label_key: str  # in a pickle
    label_byte: int  # in a binary record
    label_bytes: int
    meta: str  # the pickle of class names
    meta_key: str
    meta_text: str  # the binary layout's text file of class names


CIFAR10 = _Kind(
    n_classes=10,
    train=tuple(f"data_batch_{k}" for k in range(1, 6)),
    test="test_batch",
    label_key="labels",
    label_byte=0,
    label_bytes=1,
    meta="batches.meta",
    meta_key="label_names",
    meta_text="batches.meta.txt",
)
CIFAR100_FINE = _Kind(
    n_classes=100,
    train=("train",),
    test="test",
    label_key="fine_labels",
    label_byte=1,
    label_bytes=2,
    meta="meta",
    meta_key="fine_label_names",
    meta_text="fine_label_names.txt",
)
CIFAR100_COARSE = _Kind(
    n_classes=20,
    train=("train",),
    test="test",
    label_key="coarse_labels",
    label_byte=0,
    label_bytes=2,
    meta="meta",
    meta_key="coarse_label_names",
    meta_text="coarse_label_names.txt",
)


def read(data: Cifar10Data | Cifar100Data) -> Parts:
    """Read the files that a config names."""
    kind = _kind(data)
    directory = folder(data.path)
    validation = test = None
    if isinstance(data.validation, str):
        validation = _read_files(directory, [data.validation], kind)
    if isinstance(data.test, str) or data.test is None:
        test = _read_files(directory, [data.test or kind.test], kind)
    return Parts(
        train=_read_files(directory, training_files(data, kind.train, kind.test, ".bin"), kind),
        validation=validation,
        test=test,
        class_names=_class_names(directory, kind),
    )


def read_images(path: pathlib.Path, data: Cifar10Data | Cifar100Data) -> NDArray[np.uint8]:
    """Read the images of one batch file, n x 3072."""
    with reading(path):
        room = np.empty(_size(path), np.uint8)
    return _read_file(path, _kind(data), room)[0]


def _kind(data: Cifar10Data | Cifar100Data) -> _Kind:
    if isinstance(data, Cifar10Data):
        return CIFAR10
    return CIFAR100_FINE if data.labels == "fine" else CIFAR100_COARSE


def _read_files(directory: pathlib.Path, names: Sequence[str], kind: _Kind) -> Part:
    """Read batch files into one array, each directly into its place.

    Touching fresh memory takes longer than reading a cached file, so no file gets its own buffer.
    """
    paths = [existing(directory, name, f"{name}.bin") for name in names]
    most = sum(map(_size, paths)) // N_PIXELS
    with reading(directory):
        features = np.empty((most, N_PIXELS), np.uint8)  # a page is allocated when it is written
        labels = np.empty(most, np.int64)
    n = 0
    for path in paths:
        pixels, own = _read_file(path, kind, features[n:].reshape(-1))
        end = n + len(own)
        if end > most:
            raise DataError(f"{path}: grew while it was being read")
        if _address(pixels) != _address(features[n:end]):
            features[n:end] = pixels
        labels[n:end] = own
        n = end
    name = str(paths[0]) if len(paths) == 1 else f"{directory} ({', '.join(names)})"
    source = Source(features[:n], np.empty(0, np.int64), name, IMAGE)
    return Part(source, numbered_labels(labels[:n], name))


def _size(path: pathlib.Path) -> int:
    with reading(path), open_regular(path) as file:
        return os.fstat(file.fileno()).st_size


def _address(array: NDArray[np.uint8]) -> int:
    return int(array.__array_interface__["data"][0])


def _read_file(
    path: pathlib.Path, kind: _Kind, room: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pixels of a file, in the beginning of ``room`` if they fit there."""
    read = _read_binary if path.suffix == ".bin" else _read_pickle
    pixels, labels = read(path, kind, room)
    if not len(labels):
        raise DataError(f"{path}: expected examples, found no images")
    if not 0 <= labels.min() <= labels.max() < kind.n_classes:
        raise DataError(
            f"{path}: labels from {labels.min()} to {labels.max()}, "
            f"expected 0 to {kind.n_classes - 1}"
        )
    return pixels, labels


def _read_pickle(
    path: pathlib.Path, kind: _Kind, room: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content = python2_pickle.load(path, room)
    pixels = content.get("data")
    if not isinstance(pixels, np.ndarray) or pixels.shape[1] != N_PIXELS:
        raise DataError(f"{path}: expected data of n x {N_PIXELS} bytes")
    return pixels, _label_list(content, kind, path, len(pixels))


def _label_list(
    content: dict[str, Any], kind: _Kind, path: pathlib.Path, n_images: int
) -> NDArray[np.int64]:
    labels = content.get(kind.label_key)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{path}: expected a list of integers as {kind.label_key!r}")
    if len(labels) != n_images:
        raise DataError(f"{path}: {n_images} images but {len(labels)} labels")
    try:
        return np.array(labels, np.int64)
    except OverflowError as error:
        raise DataError(f"{path}: a label does not fit in 64 bits") from error


def _read_binary(
    path: pathlib.Path, kind: _Kind, room: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    record = kind.label_bytes + N_PIXELS
    with reading(path), open_regular(path) as file:
        size = path.stat().st_size
        if size % record:
            raise DataError(
                f"{path}: expected a multiple of {record} bytes (one record per image), "
                f"found {size}: cut short, or from another data set"
            )
        n = size // record
        if n * N_PIXELS > len(room):  # it has grown meanwhile
            room = np.empty(n * N_PIXELS, np.uint8)
        pixels, labels = room[: n * N_PIXELS].reshape(n, N_PIXELS), np.empty(n, np.int64)
        for first in range(0, n, _RECORDS):
            some = slice(first, min(first + _RECORDS, n))
            records = np.fromfile(file, np.uint8, (some.stop - first) * record)
            if len(records) < (some.stop - first) * record:
                raise EOFError  # it has shrunk meanwhile
            records = records.reshape(-1, record)
            pixels[some], labels[some] = records[:, kind.label_bytes :], records[:, kind.label_byte]
    return pixels, labels


def _class_names(directory: pathlib.Path, kind: _Kind) -> tuple[str, ...]:
    """Return the class names found in the folder, or numbers if there are none."""
    text, meta = directory / kind.meta_text, directory / kind.meta
    if meta.exists():
        names = python2_pickle.names(python2_pickle.load(meta).get(kind.meta_key), meta)
    elif text.exists():
        with reading(text):
            names = tuple(read_regular(text, _MAX_NAMES).decode("utf-8", "replace").split())
    else:
        return numbered(kind.n_classes)
    if len(set(names)) != kind.n_classes:
        found = meta if meta.exists() else text
        raise DataError(f"{found}: expected {kind.n_classes} distinct names, found {len(names)}")
    return names
