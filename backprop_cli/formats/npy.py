"""Arrays: an .npz with x and y, or an .npy of features beside a file of labels, or shards."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from backprop_cli.config.data import DataSection, NpyData
from backprop_cli.errors import DataError
from backprop_cli.formats.array_names import ArrayNames
from backprop_cli.formats.arrays import described
from backprop_cli.formats.classes import configured_names
from backprop_cli.formats.columns import Column, as_column, read_values
from backprop_cli.formats.example_weights import read_example_weights
from backprop_cli.formats.feature_files import FeatureFiles, find_features
from backprop_cli.formats.files import FileIdentity, file_identity, matching, order_by_number
from backprop_cli.formats.labels import Labels, labels_in_archive, read_labels
from backprop_cli.formats.memory import memory_limit
from backprop_cli.formats.parts import Part, Parts
from backprop_cli.sources import FileRows, Source


def read(data: NpyData) -> Parts:
    """Read the files that a config names."""
    _refuse_same_files(data)
    _check_columns(data)
    limit = memory_limit(data.memory)  # before anything is read
    keys = {"train": ("path", "labels")}
    for key in ("validation", "test"):
        if isinstance(getattr(data, key), str):
            keys[key] = key, f"{key}_labels"
    found = {
        part: _find_part(data, getattr(data, path_key), labels_key)
        for part, (path_key, labels_key) in keys.items()
    }
    labels = found["train"][1]
    if isinstance(data.classes, int) and labels.numbers is None:
        raise DataError(
            f"data.classes: the labels in {labels.file} are text, so expected a list of "
            f"their names, or null; found {data.classes}"
        )
    if limit is not None and sum(files.size for files, _ in found.values()) <= limit:
        limit = None
    parts = {name: Part(files.source(limit), own) for name, (files, own) in found.items()}
    train = parts["train"]
    for name in ("validation", "test"):
        if name in parts:
            _same_shape(parts[name].source, train.source)
    groups = None if data.groups is None else _read_groups(data, len(train.labels))
    if data.weights is not None:
        weights = read_example_weights(data.weights, len(train.labels))
        train = Part(dataclasses.replace(train.source, example_weights=weights), train.labels)
    return Parts(
        train,
        parts.get("validation"),
        parts.get("test"),
        configured_names(data.classes),
        groups=groups,
    )


def _refuse_same_files(data: NpyData) -> None:
    """Refuse a file of which two parts are made, however its names are spelt."""
    seen: dict[FileIdentity, str] = {}
    for key in ("path", "validation", "test"):
        name = getattr(data, key)
        if isinstance(name, str):
            for found in {file_identity(path) for path in matching(name)}:
                if found in seen:
                    raise DataError(
                        f"{name}: training, validation and test need files of their own; "
                        f"data.{key} is the same file as data.{seen[found]}"
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


def _find_part(data: NpyData, path: str, labels_key: str) -> tuple[FeatureFiles, Labels]:
    """Find the features of a part, and read its labels."""
    found = find_features(path, array_names(data))
    own, labels_path = found.labels(), getattr(data, labels_key)
    if own is not None and labels_path is not None:
        raise DataError(f"data.{labels_key}: {path} already holds the labels")
    if own is not None:
        labels = labels_in_archive(own, path, found.parts)
    elif labels_path is None:
        raise DataError(
            f"data.{labels_key}: expected the file of labels that goes with {path}, which has none"
        )
    else:
        labels = read_labels(labels_path, data.labels_column)
        check_order(found, labels_path)
    if found.n_examples != len(labels):
        transposed = ""
        if found.n_features == len(labels):
            transposed = (
                f": are examples its columns? It is {described(found.files[0])}; transpose it, "
                "numpy.save('transposed.npy', x.T)"
            )
        raise DataError(
            f"{labels.file}: {len(labels)} labels for the {found.n_examples} examples of "
            f"{path}{transposed}"
        )
    check_pairs(found, labels.parts)
    return found, labels


def check_pairs(found: FeatureFiles, labels: FileRows) -> None:
    """Refuse as many files of labels as of features that do not go together one by one."""
    if len(found.parts) != len(labels):
        return
    for (file, n), (other, n_labels) in zip(found.parts, labels, strict=True):
        if n != n_labels:
            raise DataError(
                f"{other}: {n_labels} labels for the {n} examples of {file}; files go together in "
                "the order of their names"
            )


def check_order(found: FeatureFiles, labels_path: str) -> None:
    """Refuse files whose numbers are out of order, where a single file of labels depends on it."""
    paths = [file.path for file in found.files]
    if len(matching(labels_path)) == 1 and paths != order_by_number(paths):
        raise DataError(
            f"{found.name}: files follow each other in the order of their names, in which "
            f"{_first_out_of_order(paths)}; pad their numbers with zeros, or give each file of "
            "features a file of labels"
        )


def _first_out_of_order(paths: Sequence[pathlib.Path]) -> str:
    for name, counted in zip(paths, order_by_number(paths), strict=True):
        if name != counted:
            return f"{name.name} comes before {counted.name}"
    return "they are"


def array_names(data: DataSection) -> ArrayNames:
    """Return the names of arrays in files of several, as a config has them."""
    if not isinstance(data, NpyData):
        return ArrayNames()
    return ArrayNames(data.features_name, data.labels_name)
