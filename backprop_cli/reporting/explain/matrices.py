"""The numbers of a matrix on the page: a table where it is small, a heat map, or its norm."""

from __future__ import annotations

import numpy as np

from backprop_cli.graph import Kronecker
from backprop_cli.reporting.explain import pictures
from backprop_cli.reporting.explain.explanation import Array, EdgeJacobian

_MAX_COLUMNS, _MAX_ROWS = 10, 12  # of a table
_MANY_COLUMNS = 5  # more are in a smaller type
_MAX_SIDE = 64  # of a heat map
_MAX_PIXELS_HIGH = 260


def fits_table(values: Array) -> bool:
    """Whether a matrix is small enough to be read number by number."""
    rows, columns = values.shape
    return bool(rows <= _MAX_ROWS and columns <= _MAX_COLUMNS)


def table(values: Array) -> str:
    """Return a matrix as a table."""
    rows = "".join(
        "<tr>" + "".join(f"<td>{number_text(float(number))}</td>" for number in row) + "</tr>"
        for row in values
    )
    small = " small" if values.shape[1] > _MANY_COLUMNS else ""
    return f'<div class="scroll"><table class="matrix{small}">{rows}</table></div>'


def legend(limit: float) -> str:
    """Return the scale of the colours of pictures, from -limit to limit."""
    return (
        f'<p class="legend"><span>{number_text(-limit)}</span>'
        f'<span class="scale" style="background: linear-gradient(to right, {pictures.LEGEND})">'
        f"</span><span>{number_text(limit)}</span></p>"
    )


def numbers_of(edge: EdgeJacobian) -> str:
    """Return the numbers of a Jacobian, as many as can be seen."""
    rows, columns = edge.shape
    if rows * columns == 1:
        array = edge.array(1)
        return "" if array is None else f"= {number_text(float(array.item()))}"
    array = edge.array(_MAX_SIDE * _MAX_SIDE)
    if array is not None and fits_table(array):
        return table(array)
    if array is not None and max(array.shape) <= _MAX_SIDE:
        return _heat_map(array)
    note = f"norm {number_text(edge.norm())}"
    if isinstance(edge.numbers, Kronecker):
        note += f"; block-diagonal, with x in each of its {edge.numbers.C} rows"
    return f'<span class="note">{note}</span>'


def _heat_map(array: Array) -> str:
    limit = float(np.abs(array[np.isfinite(array)]).max(initial=0.0)) or 1.0
    rows, columns = array.shape
    scale = max(2, min(14, _MAX_PIXELS_HIGH // max(rows, columns)))
    return (
        f'<figure class="heat"><img src="{pictures.signed(array, limit)}" alt="heat map" '
        f'style="width: {columns * scale}px; height: {rows * scale}px">'
        f"<figcaption>from {number_text(-limit)} to {number_text(limit)}</figcaption></figure>"
    )


def number_text(value: float) -> str:
    """Return a number as the page shows it."""
    return f"{value + 0.0:.4g}".replace("-", "−")  # + 0.0: no minus before 0
