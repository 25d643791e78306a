"""Turning a config's data section into a checked `Dataset`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from backprop_cli.config.data import (
    Cifar10Data,
    Cifar100Data,
    DataSection,
    IdxData,
    NpyData,
    SyntheticData,
)
from backprop_cli.errors import DataError
from backprop_cli.formats import cifar, idx, npy, synthetic
from backprop_cli.formats.held_out import divide
from backprop_cli.formats.parts import Part, Parts
from backprop_cli.sources import Dataset, Source


def load_dataset(data: DataSection, class_names: tuple[str, ...] | None = None) -> Dataset:
    """Read and split the data of a config.

    Labels are checked here; features, which may be large, when they are read: `survey`.

    Parameters
    ----------
    data
        The config's data section.
    class_names
        A model's class names, not all of which need to occur; by default the data's own. Labels
        are matched by name, except where the format or ``data.classes`` numbers the classes.
        Given for a trained model only.

    Raises
    ------
    DataError
        If the data cannot be used. The message names the file, what was expected and what was
        found.
    """
    training = class_names is None
    data = _without_replaced_parts(data, training=training)
    parts = READERS[type(data)](data)
    held = {"validation": parts.validation, "test": parts.test}
    for key, part in held.items():
        if part is not None and parts.groups is not None and training:
            raise DataError(
                f"data.groups: the groups of the {key} file are not known; hold out a count or a "
                f"fraction, or name rows: data.{key}_rows"
            )
    for part in (parts.train, *held.values()):
        if part is not None:
            _check_size(part.source)
    names = class_names or _class_names(parts)
    numbered = parts.class_names is not None
    train = _with_class_numbers(parts.train, names, numbered=numbered)
    files = {
        key: None if part is None else _with_class_numbers(part, names, numbered=numbered)
        for key, part in held.items()
    }
    return divide(data, train, files, parts.groups, names)


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


def _without_replaced_parts(data: DataSection, *, training: bool) -> DataSection:
    """Return the section without the parts that files of row numbers replace.

    A trained model may be given a file in place of the rows that it had.
    """
    replaced: dict[str, int | None] = {}
    for key in data.part_keys:
        if getattr(data, f"{key}_rows") is None:
            continue
        if not isinstance(getattr(data, key), str):
            replaced[key] = 0
        elif training:
            raise DataError(
                f"data.{key}_rows: data.{key} names a file already; set one of them to null"
            )
        else:
            replaced[f"{key}_rows"] = None
    return data.model_copy(update=replaced)


def _class_names(parts: Parts) -> tuple[str, ...]:
    """Return the names of the data's classes; refuse data with a single class."""
    labels = parts.train.labels
    if len(labels.names) < 2:
        found = f"all {len(labels)} labels are" if len(labels) > 1 else "the only label is"
        raise DataError(
            f"{labels.file}: {found} {labels.names[0]!r}: training needs examples of at least two "
            "classes"
        )
    return parts.class_names or labels.names


def _with_class_numbers(part: Part, names: tuple[str, ...], *, numbered: bool) -> Source:
    """Return the source with its labels as class numbers."""
    labels = part.labels.class_numbers(names, numbered=numbered)
    return dataclasses.replace(part.source, labels=labels)
