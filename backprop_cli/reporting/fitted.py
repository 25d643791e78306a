"""Text and tables that fit into so many columns: what is too wide is folded, and nothing is cut."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from backprop_cli.evaluation.counts import Counts

_LABEL = 20  # columns of a row's label, before the labels get lines of their own


def paragraph(text: str, width: int, indent: str = "", hanging: str | None = None) -> list[str]:
    """Return a text in lines of a width; a word that is longer, such as a path, is kept whole.

    Parameters
    ----------
    text
        One paragraph.
    width
        Of a line.
    indent, hanging
        What begins the first line, and what begins the others; by default the same.
    """
    return textwrap.wrap(
        text, width, initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def titled(title: str, text: str, width: int, room: int = 12) -> list[str]:
    """Return a title and, beside it in a column of its own, a text."""
    return paragraph(text, width, f"{title:<{room}}", " " * room) or [title]


def table(rows: Sequence[Sequence[str]], width: int, left: Collection[int] = ()) -> list[str]:
    """Return a table whose first row has the titles; too wide, each row as text with its titles.

    Parameters
    ----------
    rows
        The cells.
    width
        Of a line.
    left
        The columns that are aligned on the left; the others are on the right.
    """
    return aligned(rows, width, left) or _folded(rows, width)


def aligned(rows: Sequence[Sequence[str]], width: int, left: Collection[int] = ()) -> list[str]:
    """Return a table in columns, or no line if it is too wide."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) > width:
        return []
    return [
        "  ".join(
            cell.ljust(size) if k in left else cell.rjust(size)
            for k, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _folded(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    title, *others = rows
    lines = []
    for number, row in enumerate(others, 1):
        cells = [f"{key} {cell}".strip() for key, cell in zip(title, row, strict=True) if cell]
        lines += paragraph(f"{number}. {', '.join(cells)}", width, " ", "   ")
    return lines


def confusion_matrix(counts: Counts, names: Sequence[str], width: int) -> list[str]:
    """Return a row per true class; decisions are numbered in the order of the rows.

    Too many columns go below each other, in blocks.
    """
    matrix = counts.dense()
    lines = paragraph("confusion matrix: one row per true class, one column per decision", width)
    labels = [f"{k:>3} {name}" for k, name in enumerate(names)]
    first = max(map(len, labels))
    if first > _LABEL:
        lines += [line for label in labels for line in paragraph(label, width, "", " " * 4)]
        labels = [f"{k:>3}" for k in range(len(names))]
        first = 3
    cell = max(len(str(matrix.max())), 3) + 1
    per_block = max(1, (width - first) // cell)
    for start in range(0, len(names), per_block):
        columns = range(start, min(start + per_block, len(names)))
        lines.append(" " * first + "".join(f"{k:>{cell}}" for k in columns))
        for label, row in zip(labels, matrix, strict=True):
            lines.append(f"{label:<{first}}" + "".join(f"{row[k]:>{cell}}" for k in columns))
    return lines
