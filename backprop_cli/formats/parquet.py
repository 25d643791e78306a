"""Parquet files: a column of lists of numbers, and perhaps one of labels, read by row group."""

from __future__ import annotations

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import ConfigError, DataError, first_line
from backprop_cli.formats.array_names import ArrayNames
from backprop_cli.formats.columns import Values
from backprop_cli.formats.files import reading

_BATCH_BYTES = 8_000_000
# What pyarrow reads ahead stays in memory until the file is closed; without a buffer it reads all
# of a row group, which may have gigabytes, at once.
_FEW_BYTES: dict[str, Any] = {"pre_buffer": False, "buffer_size": 1 << 20}


@dataclass(frozen=True)
class Table:
    """The features of a Parquet file, and its labels.

    Attributes
    ----------
    shape, dtype
        Of the features, N x d.
    batches
        Reads the features, some rows at a time.
    labels
        None if the file has none.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    batches: Callable[[], Iterator[NDArray[Any]]]
    labels: Values | None


def read_table(path: pathlib.Path, names: ArrayNames) -> Table:
    """Find the features of a file, and read its labels.

    Raises
    ------
    DataError
        The file is broken, or has no column of features of one length.
    ConfigError
        pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigError(
            f"{path}: reading Parquet needs pyarrow: install backprop-cli[parquet]"
        ) from error
    with _arrow(path), pq.ParquetFile(path, **_FEW_BYTES) as file:
        schema, n = file.schema_arrow, file.metadata.num_rows
        lists = [field.name for field in schema if _is_list(pa, field.type)]
        plain = [name for name in schema.names if name not in lists]
        if not lists:
            raise DataError(
                f"{path}: expected a column of lists of numbers, found "
                f"{', '.join(schema.names) or 'no column'}; each example needs its features in one "
                "column"
            )
        chosen = names.choose(lists, path, plain)
        kind = schema.field(chosen[0]).type
        dtype = np.dtype(kind.value_type.to_pandas_dtype())
        d = getattr(kind, "list_size", -1)
        if d < 0:
            first = next(file.iter_batches(1, columns=[chosen[0]]), None)
            d = 0 if first is None or not first.column(0)[0].is_valid else len(first.column(0)[0])
        labels = _labels(file.read(columns=[chosen[1]]), path) if len(chosen) > 1 else None
    batches = functools.partial(_batches, path, chosen[0], d, dtype)
    return Table((n, d), dtype, batches, labels)


def _is_list(pa: Any, kind: Any) -> bool:
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return bool(types.is_integer(kind.value_type) or types.is_floating(kind.value_type))


def _labels(table: Any, path: pathlib.Path) -> Values:
    column = table.column(0).combine_chunks()
    if column.null_count:
        row = column.is_valid().to_pylist().index(False)
        raise DataError(f"{path}: row {row} (counted from 0) has no {table.column_names[0]}")
    if hasattr(column, "dictionary_decode"):
        column = column.dictionary_decode()
    values = np.asarray(column.to_numpy(zero_copy_only=False))
    if values.dtype != object:
        return values
    texts: list[str] = values.tolist()
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{path}: {table.column_names[0]}: expected numbers or texts")
    return texts


def _batches(path: pathlib.Path, name: str, d: int, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the features of a file, some rows at a time."""
    import pyarrow.parquet as pq

    n_rows = max(1, _BATCH_BYTES // max(1, d * dtype.itemsize))
    start = 0
    with _arrow(path), pq.ParquetFile(path, **_FEW_BYTES) as file:
        for batch in file.iter_batches(n_rows, columns=[name]):
            column = batch.column(0)
            lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            wrong = np.flatnonzero(lengths != d)
            if len(wrong) or column.null_count:
                row = int(wrong[0]) if len(wrong) else 0
                raise DataError(
                    f"{path}: row {start + row} (counted from 0) has {lengths[row]} numbers in "
                    f"{name}, expected {d}"
                )
            values = column.flatten()
            if values.null_count:
                row = values.is_valid().to_pylist().index(False) // d
                raise DataError(f"{path}: row {start + row} (counted from 0) lacks a number")
            start += len(column)
            yield values.to_numpy(zero_copy_only=False).reshape(-1, d)


@contextlib.contextmanager
def _arrow(path: pathlib.Path) -> Iterator[None]:
    """Turn pyarrow's errors into a DataError."""
    import pyarrow as pa

    with reading(path):
        try:
            yield
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise DataError(f"{path}: not a whole Parquet file: {first_line(error)}") from error
