"""One value per example, from an .npy, a text file or a column of a CSV file."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.formats.arrays import described, read_npy
from backprop_cli.formats.files import reading
from backprop_cli.regular import open_regular
from backprop_cli.sources import FileRows, place_in

Values = NDArray[Any] | list[str]
_MAX_WHOLE = 2**53  # beyond, a float is not told from its neighbours


@dataclass(frozen=True)
class Column:
    """One value per example, as a file has it.

    Attributes
    ----------
    distinct
        The distinct values: numbers in ascending order, or texts in the order of their appearance.
    codes
        Which of them each of the n examples has.
    file
        Where they come from, for messages.
    parts
        Where there are several files: each one's name and number of values, in their order.
    """

    distinct: NDArray[Any] | list[str]
    codes: NDArray[np.intp]
    file: str
    parts: FileRows = ()

    def __len__(self) -> int:
        return len(self.codes)

    def refusal(self, code: int, problem: str) -> DataError:
        """Return the error about a value: file, first row that has it, value, what is wrong."""
        row = int(np.flatnonzero(self.codes == code)[0])
        value = self.distinct[code]
        shown = repr(value) if isinstance(value, str) else str(value)
        file, row = place_in(self.parts, row) or (self.file, row)
        return DataError(f"{file}: row {row} (counted from 0) is {shown}: {problem}")


def read_values(path: str, column: str | None = None, key: str | None = None) -> Values:
    """Read a file of one value per example.

    Parameters
    ----------
    path
        A .txt with one value per line, a .csv with a header, or else an .npy.
    column
        The name of the column of a .csv.
    key
        The config key that gives this name; None where a .csv is not accepted.

    Raises
    ------
    DataError
        The file cannot be read, or a line of it is empty.
    """
    file = pathlib.Path(path).expanduser()
    suffix = file.suffix.lower()
    if suffix == ".csv" and key is not None:
        return _read_csv(file, column, key)
    if suffix == ".txt":
        with reading(path):
            try:
                with open_regular(file) as stream:
                    text = stream.read().decode("utf-8-sig").rstrip()
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: expected UTF-8 text: {error.reason}") from error
        lines = [line.strip() for line in text.split("\n")] if text else []
        if "" in lines:
            raise DataError(f"{path}: line {lines.index('') + 1} is empty, expected a value")
        return lines
    if suffix != ".npy":
        endings = ".npy, .txt or .csv" if key is not None else ".npy or .txt"
        raise DataError(f"{path}: expected a file whose name ends in {endings}")
    return read_npy(file)


def joined(parts: Sequence[Values], file: str) -> Values:
    """Return the values of several files as those of one.

    Raises
    ------
    DataError
        Some are arrays of another shape or kind.
    """
    if len(parts) == 1:
        return parts[0]
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if not arrays:
        return [text for part in parts for text in part]
    kinds = {("text" if a.dtype.kind in "US" else "numbers", a.shape[1:]) for a in arrays}
    if len(arrays) < len(parts) or len(kinds) > 1 or not all(a.ndim for a in arrays):
        raise DataError(f"{file}: expected labels of one kind and shape in all files")
    whole: NDArray[Any] = np.concatenate(arrays)
    return whole


def _read_csv(file: pathlib.Path, column: str | None, key: str) -> list[str]:
    """Return the texts of one column; lines without anything are no rows."""
    with reading(file):
        try:
            with io.TextIOWrapper(open_regular(file), "utf-8-sig", newline="") as stream:
                reader = csv.reader(stream, strict=True)
                header = [name.strip() for name in next(reader, [])]
                index = _column_index(header, column, key, file)
                values = []
                for row in filter(None, reader):
                    value = row[index].strip() if index < len(row) else ""
                    if not value:
                        raise DataError(
                            f"{file}: line {reader.line_num} has no value in column {column!r}"
                        )
                    values.append(value)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{file}: not a CSV file in UTF-8: {error}") from error
    return values


def _column_index(header: list[str], column: str | None, key: str, file: pathlib.Path) -> int:
    found = ", ".join(header) or "none"
    if column is None:
        raise DataError(f"data.{key}: expected the name of a column of {file}, which has {found}")
    if header.count(column) != 1:
        times = "twice or more" if column in header else "nowhere"
        raise DataError(
            f"data.{key}: expected one column {column!r} in the first line of {file}, found it "
            f"{times}; the columns, separated by commas, are {found}"
        )
    return header.index(column)


def as_column(values: Values, file: str, parts: FileRows = ()) -> Column:
    """Return the distinct values and which of them each example has.

    Raises
    ------
    DataError
        The array is neither n numbers or texts, nor n x 1; or a text of it is not Unicode.
    """
    if isinstance(values, np.ndarray):
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1 or values.dtype.kind not in "biufUS":
            raise DataError(
                f"{file}: expected one number or text per example, found {described(values)}"
            )
        if values.dtype.kind not in "US":
            numbers, codes = np.unique(values, return_inverse=True)
            return Column(numbers, codes.reshape(-1), file, parts)
        values = _texts(values, file, parts)
    places: dict[str, int] = {}
    codes = np.fromiter((places.setdefault(v, len(places)) for v in values), np.intp, len(values))
    return Column(list(places), codes, file, parts)


def _texts(array: NDArray[Any], file: str, parts: FileRows) -> list[str]:
    try:
        texts = [t if isinstance(t, str) else t.decode("utf-8") for t in array.tolist()]
        for text in texts:
            text.encode("utf-8")  # a lone surrogate, which no file of ours could hold
    except ValueError as error:  # Unicode errors are of this kind
        raise DataError(f"{file}: a text is not valid Unicode (UTF-8 if it is bytes)") from error
    if "" in texts:
        name, row = place_in(parts, texts.index("")) or (file, texts.index(""))
        raise DataError(f"{name}: row {row} (counted from 0) is empty")
    return texts


def as_integers(column: Column, problem: str) -> list[int]:
    """Return the distinct values as integers; refuse others.

    Parameters
    ----------
    column
        Integers, booleans, or whole floats; or texts of whole numbers.
    problem
        What to say of a value that is not a whole number.
    """
    integers = []
    for code, value in enumerate(column.distinct):
        number = as_number(value) if isinstance(value, str) else value.item()
        if isinstance(number, float) and abs(number) <= _MAX_WHOLE and number.is_integer():
            number = int(number)
        if not isinstance(number, int):
            raise column.refusal(code, problem)
        integers.append(int(number))
    return integers


def as_number(text: str) -> int | float | None:
    """Return the number that a text is, or None; "007" is none."""
    if text.isascii():
        digits = text.removeprefix("-")
        if digits.isdecimal() and len(digits) < 20 and (digits == "0" or digits[0] != "0"):
            return int(text)
        if "." in text or "e" in text.lower() or text.lower() == "nan":
            try:
                return float(text)
            except ValueError:
                return None
    return None
