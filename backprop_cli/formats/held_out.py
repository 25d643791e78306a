"""Dividing examples into training, validation and test."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backprop_cli.config.data import DataSection
from backprop_cli.errors import DataError
from backprop_cli.formats.columns import Column, as_column, as_integers, read_values
from backprop_cli.formats.splits import Rows, draw, draw_groups, size_of
from backprop_cli.rng import Stream, generator
from backprop_cli.sources import Dataset, Source, Split

_TEST_SHARE = 0.2  # the test part of a format that has no test file of its own
_ORDER = ("test", "validation", "limit")  # each part has its own stream of random numbers


def divide(
    data: DataSection,
    train: Source,
    files: Mapping[str, Source | None],
    groups: Column | None,
    class_names: tuple[str, ...],
) -> Dataset:
    """Take the rows that are named, hold out test, then validation; limit what remains.

    Parameters
    ----------
    data
        Says what to hold out.
    train
        The examples of the training files.
    files
        Of validation and test: the examples of files of their own, or None.
    groups
        The group of each training example: none may be in two splits.
    class_names
        The names of the classes.

    Raises
    ------
    DataError
        A part would be empty, or what is asked for is contradictory.
    """
    splits = {name: _whole(files[name]) for name in _ORDER[:2]}
    named = _named_rows(data, train)
    splits |= {name: Split(train, rows) for name, rows in named.items() if name != "train"}
    pool = named.get("train")
    if pool is None:
        free = np.ones(len(train), bool)
        for rows in named.values():
            free[rows] = False
        pool = np.flatnonzero(free)
    if not len(pool):
        raise DataError("data.validation_rows, data.test_rows: they leave no row to train on")
    n = len(pool)
    for name in _ORDER[:2]:
        part = getattr(data, name)
        if splits[name] is not None or part == 0:
            continue
        part = _TEST_SHARE if part is None else part
        size = size_of(part, n)
        if size == 0:
            raise DataError(f"data.{name}: {part} of {n} examples leaves {name} empty")
        if size >= len(pool):
            raise DataError(
                f"data.{name}: taking {size} of {len(pool)} examples leaves none to train on"
            )
        rng = generator(data.seed, Stream.SPLIT, _ORDER.index(name))
        labels = train.labels
        if groups is None:
            held, pool = draw(pool, labels, size, rng, stratified=data.stratified)
        else:
            if len(np.unique(groups.codes[pool])) < 2:
                raise DataError(
                    f"data.{name}: expected examples of two groups or more to hold one out, found "
                    f"a single group in {groups.file}"
                )
            held, pool = draw_groups(
                pool, labels, groups.codes, size, rng, stratified=data.stratified
            )
        splits[name] = Split(train, held)
    if data.limit is not None and data.limit < len(pool):
        rng = generator(data.seed, Stream.SPLIT, _ORDER.index("limit"))
        pool, _ = draw(pool, train.labels, data.limit, rng, stratified=data.stratified)
    if train.example_weights is not None and not train.example_weights[pool].any():
        raise DataError("data.weights: every training example has weight 0")
    dataset = Dataset(Split(train, pool), splits["validation"], splits["test"], class_names)
    if groups is not None:
        _check_groups(dataset, groups)
    return dataset


def _whole(source: Source | None) -> Split | None:
    return None if source is None else Split(source, np.arange(len(source)))


def _named_rows(data: DataSection, train: Source) -> dict[str, Rows]:
    """Return the rows, ascending, of every split that a file of row numbers names.

    Raises
    ------
    DataError
        Rows do not exist, occur twice, or are in two splits.
    """
    named: dict[str, Rows] = {}
    owner = np.zeros(len(train), np.int8)
    names = ("train", "validation", "test")
    for number, name in enumerate(names, 1):
        path = getattr(data, f"{name}_rows")
        if path is None:
            continue
        rows = _read_rows(path, train)
        taken = owner[rows]
        if taken.any():
            row = rows[taken.argmax()]
            other = names[taken.max() - 1]
            raise DataError(f"{path}: row {row} is also in data.{other}_rows")
        owner[rows] = number
        named[name] = rows
    return named


def _read_rows(path: str, train: Source) -> Rows:
    values = read_values(path)
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        raise DataError(
            f"{path}: expected row numbers, found booleans; numpy.flatnonzero converts them"
        )
    column = as_column(values, path)
    n = len(train)
    if not len(column):
        raise DataError(f"{path}: expected row numbers, found none")
    numbers = as_integers(column, "expected a row number, an integer")
    for code, number in enumerate(numbers):
        if not 0 <= number < n:
            raise column.refusal(code, f"expected a row of {train.name}, from 0 to {n - 1}")
    rows = np.sort(np.array(numbers, np.intp)[column.codes])
    twice = np.flatnonzero(rows[1:] == rows[:-1])
    if len(twice):
        raise DataError(f"{path}: row {rows[twice[0]]} occurs more than once")
    return rows


def _check_groups(dataset: Dataset, groups: Column) -> None:
    """Refuse a group with examples in two splits: possible only where rows are named."""
    owner: dict[int, str] = {}
    for name in ("train", "validation", "test"):
        split = dataset.split(name)
        if split is None or split.source is not dataset.train.source:
            continue
        for group in np.unique(groups.codes[split.rows]).tolist():
            if owner.setdefault(group, name) != name:
                raise DataError(
                    f"{groups.file}: group {groups.distinct[group]} is in {owner[group]} and in "
                    f"{name}: name the rows of whole groups"
                )
