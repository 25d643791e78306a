"""Labels as files have them, and the class numbers that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.values import MAX_CLASSES
from backprop_cli.errors import DataError
from backprop_cli.formats.columns import (
    Column,
    Values,
    as_column,
    as_integers,
    as_number,
    joined,
    read_values,
)
from backprop_cli.formats.files import matching
from backprop_cli.sources import FileRows, place_in

_LOOKED_AT = 1000  # rows, to tell one-hot labels
_SHOWN = 10  # class names in a message


@dataclass(frozen=True)
class Labels:
    """The labels of some examples.

    Attributes
    ----------
    names
        The distinct labels: whole numbers in ascending order, without a decimal point, or else
        texts, sorted.
    numbers
        The same as integers; None if they are texts.
    codes
        Which of them each of the n examples has.
    file
        Where they come from, for messages.
    parts
        Where there are several files: each one's name and number of labels, in their order.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...] | None
    codes: NDArray[np.intp]
    file: str
    parts: FileRows = ()

    def __len__(self) -> int:
        return len(self.codes)

    def class_numbers(self, class_names: Sequence[str], *, numbered: bool) -> NDArray[np.int64]:
        """Return the class number of each example, 0 to C - 1.

        Parameters
        ----------
        class_names
            The names of the C classes.
        numbered
            Whether integer labels are class numbers already. Otherwise, and where labels are
            texts, they are matched by name.

        Raises
        ------
        DataError
            A label is none of the classes. The message names file, row and label.
        """
        if not len(self):
            return np.empty(0, np.int64)
        if numbered and self.numbers is not None:
            low, high, n_classes = self.numbers[0], self.numbers[-1], len(class_names)
            if low < 0 or high >= n_classes:
                raise DataError(
                    f"{self.file}: labels from {low} to {high}, "
                    f"expected 0 to {n_classes - 1} ({n_classes} classes)"
                )
            return np.array(self.numbers, np.int64)[self.codes]
        places = {name: k for k, name in enumerate(class_names)}
        for code, name in enumerate(self.names):
            if name not in places:
                row = int(np.flatnonzero(self.codes == code)[0])
                file, row = place_in(self.parts, row) or (self.file, row)
                raise DataError(
                    f"{file}: row {row} (counted from 0): label {name!r} is none of the "
                    f"{len(class_names)} classes that are trained: {_shown(class_names)}"
                )
        return np.array([places[name] for name in self.names], np.int64)[self.codes]


def _shown(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def read_labels(path: str, column: str | None) -> Labels:
    """Read a file of labels: .npy, .txt, or a column of a .csv.

    Raises
    ------
    DataError
        If it does not hold one label per example; the message names the file.
    """
    values, parts = read_label_values(path, column)
    way = f"y = np.load({path!r}); np.save('classes.npy', y.argmax(axis=1))"
    return as_labels(values, path, way, parts)


def read_label_values(path: str, column: str | None) -> tuple[Values, FileRows]:
    """Read the values of a file of labels, or of all files that a pattern stands for."""
    files = matching(path)
    if len(files) == 1:
        return read_values(str(files[0]), column, "labels_column"), ()
    values = []
    for file in files:
        own = read_values(str(file), column, "labels_column")
        # In memory: a process may not keep thousands of files open.
        values.append(np.array(own) if isinstance(own, np.ndarray) else own)
    whole = joined(values, path)
    return whole, tuple((str(file), len(own)) for file, own in zip(files, values, strict=True))


def labels_in_archive(values: Values, path: str, parts: FileRows) -> Labels:
    """Return the labels of an .npz or .safetensors; raises what `read_labels` does."""
    way = f"a = np.load({path!r}); np.savez('classes.npz', x=a['x'], y=a['y'].argmax(axis=1))"
    return as_labels(values, path, way, parts)


def numbered_labels(array: NDArray[Any], file: str) -> Labels:
    """Return labels that a format stores as integers."""
    return as_labels(array, file, "")


def as_labels(values: Values, file: str, from_one_hot: str, parts: FileRows = ()) -> Labels:
    """Return the labels that some values are.

    Parameters
    ----------
    values
        n values or n x 1: integers, whole floats, booleans (0 and 1) or texts.
    file
        Where they come from, for messages.
    from_one_hot
        Python that turns one-hot rows into labels.
    parts
        Where there are several files: each one's name and number of labels, in their order.
    """
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] > 1:
        _refuse_one_hot(values, file, from_one_hot)
    column = as_column(values, file, parts)
    texts = column.distinct if isinstance(column.distinct, list) else None
    if texts is not None and any(as_number(text) is None for text in texts):
        _check_count(len(texts), column)
        order = sorted(range(len(texts)), key=texts.__getitem__)
        return Labels(tuple(texts[k] for k in order), None, _renumbered(order, column), file, parts)
    integers = as_integers(
        column, "expected class labels, that is integers or text; fractions are regression targets"
    )
    numbers = sorted(set(integers))
    _check_count(len(numbers), column)
    place = {number: k for k, number in enumerate(numbers)}
    codes = np.array([place[number] for number in integers], np.intp)[column.codes]
    return Labels(tuple(map(str, numbers)), tuple(numbers), codes, file, parts)


def _renumbered(order: Sequence[int], column: Column) -> NDArray[np.intp]:
    """Return the codes after the distinct values were put into another order."""
    places = np.empty(len(order), np.intp)
    places[order] = np.arange(len(order))
    codes: NDArray[np.intp] = places[column.codes]
    return codes


def _check_count(n_distinct: int, column: Column) -> None:
    if n_distinct > MAX_CLASSES:
        raise DataError(
            f"{column.file}: {n_distinct} distinct labels for {len(column)} examples, expected at "
            f"most {MAX_CLASSES}; are these identifiers?"
        )


def _refuse_one_hot(values: NDArray[Any], file: str, from_one_hot: str) -> None:
    """Refuse rows of zeros and ones, and say how to convert them."""
    if values.dtype.kind not in "biuf":
        return
    rows = np.asarray(values[:_LOOKED_AT], np.float64)
    if not ((rows == 0) | (rows == 1)).all():
        return
    if (rows.sum(axis=1) == 1).all():
        raise DataError(f"{file}: labels are one-hot, expected a label per row; {from_one_hot}")
    raise DataError(
        f"{file}: rows of zeros and ones with more, or fewer, than a single 1: an example must "
        "have exactly one label"
    )
