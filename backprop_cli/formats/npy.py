"""Arrays: an .npz with x and y, or an .npy of features beside a file of labels."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.data import NpyData
from backprop_cli.errors import DataError
from backprop_cli.formats.arrays import described, read_npy, read_npz
from backprop_cli.formats.classes import configured_names
from backprop_cli.formats.columns import Column, as_column, read_values
from backprop_cli.formats.example_weights import read_example_weights
from backprop_cli.formats.files import FileIdentity, file_identity
from backprop_cli.formats.labels import labels_in_archive, read_labels
from backprop_cli.formats.parts import Part, Parts
from backprop_cli.sources import ImageLayout, Source, WatchedFile


def read(data: NpyData) -> Parts:
    """Read the files that a config names."""
    _refuse_same_files(data)
    _check_columns(data)
    train = _read_part(data.path, data.labels, "labels", data.labels_column)
    if isinstance(data.classes, int) and train.labels.numbers is None:
        raise DataError(
            f"data.classes: the labels in {train.labels.file} are text, so expected a list of "
            f"their names, or null; found {data.classes}"
        )
    held: dict[str, Part | None] = {"validation": None, "test": None}
    for key in held:
        path = getattr(data, key)
        if isinstance(path, str):
            labels_key = f"{key}_labels"
            part = _read_part(path, getattr(data, labels_key), labels_key, data.labels_column)
            _same_shape(part.source, train.source)
            held[key] = part
    groups = None if data.groups is None else _read_groups(data, len(train.labels))
    if data.weights is not None:
        weights = read_example_weights(data.weights, len(train.labels))
        train = Part(dataclasses.replace(train.source, example_weights=weights), train.labels)
    return Parts(
        train, held["validation"], held["test"], configured_names(data.classes), groups=groups
    )


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


def _check_columns(data: NpyData) -> None:
    """Refuse the name of a column where no CSV file has it."""
    for key, files in (
        ("labels_column", (data.labels, data.validation_labels, data.test_labels)),
        ("groups_column", (data.groups,)),
    ):
        is_csv = any(name is not None and name.lower().endswith(".csv") for name in files)
        if getattr(data, key) is not None and not is_csv:
            raise DataError(f"data.{key}: is for a .csv, and data names none for it")


def _read_groups(data: NpyData, n_examples: int) -> Column:
    path = str(data.groups)
    groups = as_column(read_values(path, data.groups_column, "groups_column"), path)
    if len(groups) != n_examples:
        raise DataError(f"{path}: {len(groups)} groups for {n_examples} training examples")
    return groups


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


def _read_part(path: str, labels_path: str | None, key: str, column: str | None) -> Part:
    files: tuple[WatchedFile, ...] = ()
    if path.endswith(".npz"):
        if labels_path is not None:
            raise DataError(f"data.{key}: {path} already holds the labels, as y")
        x, y = read_npz(pathlib.Path(path).expanduser(), ("x", "y"))
        features, image = as_features(x, path)
        labels = labels_in_archive(y, path)
    elif labels_path is None:
        raise DataError(f"data.{key}: expected the file of labels that goes with {path}")
    else:
        file = WatchedFile.opened(pathlib.Path(path).expanduser())
        files = (file,)
        features, image = as_features(read_npy(file.path), path)
        labels = read_labels(labels_path, column)
    if len(features) != len(labels):
        raise DataError(
            f"{labels.file}: {len(labels)} labels for the {len(features)} examples of {path}"
        )
    return Part(Source(features, np.empty(0, np.int64), path, image, files), labels)


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
        raise DataError(f"{name}: features: expected real numbers, found {described(x)}")
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{name}: features: expected n x d, or n x height x width (x channels), "
            f"found {described(x)}"
        )
    image = None
    if x.ndim > 2:
        height, width, channels = (int(size) for size in (*x.shape[1:], 1)[:3])
        image = ImageLayout(channels, height, width, interleaved=channels > 1)
    if x.dtype.kind == "b":
        x = np.ascontiguousarray(x).view(np.uint8)
    rows = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    return rows.astype(x.dtype.newbyteorder("="), copy=False), image
