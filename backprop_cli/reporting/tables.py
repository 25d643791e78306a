"""Predictions and scores as files that other programs read, written block by block."""

from __future__ import annotations

import contextlib
import csv
import io
import pathlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from backprop_cli.atomic import writing
from backprop_cli.errors import printable
from backprop_cli.evaluation.predictions import PredictedBlock, predicted_blocks
from backprop_cli.model import LinearModel
from backprop_cli.sources import Split

_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")


def write_predictions_csv(
    path: pathlib.Path,
    names: Sequence[str],
    blocks: Iterable[PredictedBlock],
    class_names: Sequence[str],
    top: int | None,
) -> None:
    """Write example, decision and probabilities: those of all classes, or of the ``top`` ones.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    if top is None:
        head = [_cell(name) for name in class_names]
    else:
        head = [f"{what}_{k + 1}" for k in range(top) for what in ("class", "probability")]
    class_names = [_cell(name) for name in class_names]
    with _csv(path, ["example", "class", *head]) as writer:
        for block in blocks:
            found = block.probabilities()
            chosen = None if top is None else block.top(top)
            decided = zip(names[block.examples], block.decisions(), strict=True)
            for i, (name, decision) in enumerate(decided):
                cells: list[Any] = list(found[i])  # in as many digits as the number type has
                if chosen is not None:
                    cells = [cell for k in chosen[i] for cell in (class_names[k], found[i, k])]
                writer.writerow([_cell(name), class_names[decision], *cells])


def write_predictions_npy(
    path: pathlib.Path, blocks: Iterable[PredictedBlock], shape: tuple[int, int], dtype: np.dtype
) -> None:
    """Write the probabilities of all classes, an array n x C.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with writing(path) as stream:
        _write_array(stream, (block.probabilities() for block in blocks), shape, dtype)


def write_scores_csv(path: pathlib.Path, model: LinearModel, split: Split) -> None:
    """Write the row in its file, label, decision and scores of each example of a split.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    names, labels = [_cell(name) for name in model.class_names], split.own_labels()
    single = len(model.bias) == 1
    columns = ["score"] if single else [f"score_{printable(name)}" for name in model.class_names]
    with _csv(path, ["row", "label", "decision", *columns]) as writer:
        for block in predicted_blocks(model, split.source, split.rows):
            numbers = (split.rows[block.examples], labels[block.examples], block.decisions())
            for row, label, decision, scores in zip(*numbers, block.scores, strict=True):
                writer.writerow([row, names[label], names[decision], *scores])


def write_scores_npz(path: pathlib.Path, model: LinearModel, split: Split) -> None:
    """Write the same as arrays: rows, labels and decisions, n; scores, n x O; class_names, C.

    Labels and decisions are numbers of classes, from 0.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    decisions = np.empty(len(split), np.int64)

    def scores() -> Iterator[NDArray[Any]]:
        for block in predicted_blocks(model, split.source, split.rows):
            decisions[block.examples] = block.decisions()
            yield block.scores

    shape = (len(split), len(model.bias))
    with writing(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        with archive.open("scores.npy", "w", force_zip64=True) as member:
            _write_array(member, scores(), shape, model.weights.dtype)
        arrays = {
            "rows": split.rows, "labels": split.own_labels(), "decisions": decisions,
            "class_names": np.array(model.class_names),
        }  # fmt: skip
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy_format.write_array(member, array, allow_pickle=False)


def _cell(name: str) -> str:
    """Return a name as a cell that a spreadsheet shows, and does not compute.

    Control characters are escaped, and a name that would be a formula follows an apostrophe, as one
    would type it.
    """
    name = printable(name)
    return f"'{name}" if name[:1] in _FORMULA and not _NUMBER.fullmatch(name) else name


@contextlib.contextmanager
def _csv(path: pathlib.Path, head: Sequence[str]) -> Iterator[Any]:
    """Give the writer of a CSV file whose first line is written."""
    with writing(path) as stream:
        text = io.TextIOWrapper(stream, "utf-8", "backslashreplace", newline="")
        try:
            writer = csv.writer(text)
            writer.writerow(head)
            yield writer
            text.flush()
        finally:
            text.detach()  # or it would close the stream


def _write_array(
    stream: IO[bytes], blocks: Iterable[NDArray[Any]], shape: tuple[int, int], dtype: np.dtype[Any]
) -> None:
    """Write an .npy of some blocks of rows."""
    description = npy_format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": description, "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(stream, header)
    for block in blocks:
        stream.write(np.ascontiguousarray(block).data)
