"""Turning a config's data section into a checked `Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.schema import (
    Cifar10Data,
    Cifar100Data,
    DataSection,
    IdxData,
    NpyData,
    SyntheticData,
)
from backprop_cli.config.values import MAX_CLASSES
from backprop_cli.errors import DataError
from backprop_cli.formats import cifar, idx, npy, synthetic
from backprop_cli.formats.classes import numbered
from backprop_cli.formats.parts import Parts
from backprop_cli.formats.splits import draw, size_of
from backprop_cli.rng import Stream, generator
from backprop_cli.sources import Dataset, Source, Split

_HELD_OUT = 0.2  # the test part of a format that has no test file of its own


def load_dataset(data: DataSection, class_names: tuple[str, ...] | None = None) -> Dataset:
    """Read and split the data of a config.

    Labels are checked here; features, which may be large, when they are read: `survey`.

    Parameters
    ----------
    data
        The config's data section.
    class_names
        A model's class names, not all of which need to occur; by default the data's own.

    Raises
    ------
    DataError
        If the data cannot be used. The message names the file, what was expected and what was
        found.
    """
    parts = READERS[type(data)](data)
    for examples in (parts.train, parts.validation, parts.test):
        if examples is not None:
            _check_size(examples)
    class_names = class_names or _class_names(parts)
    for examples in (parts.train, parts.validation, parts.test):
        if examples is not None:
            _check_labels(examples, len(class_names))
    return _split(data, parts, class_names)


READERS: dict[type[DataSection], Callable[[Any], Parts]] = {
    Cifar10Data: cifar.read,
    Cifar100Data: cifar.read,
    IdxData: idx.read,
    NpyData: npy.read,
    SyntheticData: synthetic.read,
}
"""What reads each kind of data section."""


def _check_size(source: Source) -> None:
    """Refuse data without examples or features."""
    n, d = source.features.shape
    if n == 0 or d == 0:
        raise DataError(f"{source.name}: expected examples, found {n} x {d} features")


def _class_names(parts: Parts) -> tuple[str, ...]:
    """Return the names of the data's classes; refuse data with a single class."""
    names = parts.class_names
    if names is None:
        names = numbered(_count_classes(parts.train))
    if len(np.unique(parts.train.labels)) < 2:
        raise DataError(
            f"{parts.train.name}: expected at least two classes, "
            f"found only class {parts.train.labels[0]}"
        )
    return names


def _count_classes(train: Source) -> int:
    low, high = int(train.labels.min()), int(train.labels.max())
    if low < 0 or high >= MAX_CLASSES:
        raise DataError(
            f"{train.name}: labels from {low} to {high}, expected class numbers "
            f"from 0 to {MAX_CLASSES - 1}"
        )
    missing = np.flatnonzero(np.bincount(train.labels) == 0)
    if len(missing):
        raise DataError(
            f"{train.name}: labels from {low} to {high} without {missing[0]}: expected every "
            "class from 0 on; if a class has no examples, set data.classes to the number of classes"
        )
    return high + 1


def _check_labels(examples: Source, n_classes: int) -> None:
    """Refuse labels outside the range of the classes."""
    low, high = int(examples.labels.min()), int(examples.labels.max())
    if low < 0 or high >= n_classes:
        raise DataError(
            f"{examples.name}: labels from {low} to {high}, "
            f"expected 0 to {n_classes - 1} ({n_classes} classes)"
        )


def _split(data: DataSection, parts: Parts, class_names: tuple[str, ...]) -> Dataset:
    """Hold out test, then validation; limit what remains."""
    labels = parts.train.labels
    rows: NDArray[np.intp] = np.arange(len(labels))

    def take(part: float, name: str) -> NDArray[np.intp]:
        nonlocal rows
        size = size_of(part, len(labels))
        if size == 0:
            raise DataError(f"data.{name}: {part} of {len(labels)} examples leaves {name} empty")
        if size >= len(rows):
            raise DataError(
                f"data.{name}: taking {size} of {len(rows)} examples leaves none to train on"
            )
        rng = generator(data.seed, Stream.SPLIT, _ORDER.index(name))
        held, rows = draw(rows, labels, size, rng, stratified=data.stratified)
        return held

    test, validation = _whole(parts.test), _whole(parts.validation)
    if test is None:
        part = _HELD_OUT if data.test is None else data.test
        if part != 0 and not isinstance(part, str):
            test = Split(parts.train, take(part, "test"))
    if validation is None and data.validation != 0 and not isinstance(data.validation, str):
        validation = Split(parts.train, take(data.validation, "validation"))
    if data.limit is not None and data.limit < len(rows):
        rng = generator(data.seed, Stream.SPLIT, _ORDER.index("limit"))
        rows, _ = draw(rows, labels, data.limit, rng, stratified=data.stratified)
    return Dataset(Split(parts.train, rows), validation, test, class_names)


_ORDER = ("test", "validation", "limit")  # each part has its own stream of random numbers


def _whole(examples: Source | None) -> Split | None:
    if examples is None:
        return None
    return Split(examples, np.arange(len(examples)))
