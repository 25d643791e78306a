"""The gradient of a mini-batch as text for a terminal."""

from __future__ import annotations

import textwrap

import numpy as np

from backprop_cli.reporting.explain.batch import BatchExplanation
from backprop_cli.reporting.explain.explanation import Array, norm_of
from backprop_cli.reporting.explain.notation import printable, shape_text
from backprop_cli.reporting.fitted import paragraph

_CELL = 9
_MAX_ROWS = 20
_TITLE = 14  # columns of a class name; rows of longer ones are numbered
_FORMULAS = {
    "X": "X, one example per column",
    "S": "S = W X + b 1ᵀ",
    "P": "P = SoftMax(S), column by column",
    "Y": "Y, the targets",
    "G": "G = −(Y − P)",
}
_SVM = "G: +1 for each violation sⱼ − s_y + 1 > 0, and minus their number for the true class"


def batch_to_text(batch: BatchExplanation, width: int) -> str:
    """Return text in lines of at most so many characters."""
    lines = [line for part in batch.setting for line in textwrap.wrap(part, width)]
    for name, values in batch.matrices.items():
        formula = _SVM if name == "G" and "P" not in batch.matrices else _FORMULAS[name]
        lines += ["", *textwrap.wrap(f"{formula}   ({shape_text(values.shape)})", width)]
        if name == "X":
            lines.append(_summary(values))
        else:
            lines += _table(batch, values, width)
    lines += ["", *textwrap.wrap("The loop over examples: ∂L/∂W += gᵀ xᵀ", width)]
    total = np.zeros_like(batch.product)
    for i, term in enumerate(batch.terms):
        total = total + term
        name = printable(batch.class_names[batch.labels[i]])
        line = (
            f"example {batch.first + i} ({name}): "
            f"norm {norm_of(term):.4g}, of the sum {norm_of(total):.4g}"
        )
        lines += textwrap.wrap(line, width, initial_indent="  ", subsequent_indent="    ")
    n = batch.n
    lines += [
        f"  divided by n = {n}: {_summary(total / n).strip()}",
        "",
        f"All at once: ∂L/∂W = G Xᵀ / n   ({shape_text(batch.product.shape)})",
        _summary(batch.product),
        *textwrap.wrap(
            f"the largest difference from the loop: {batch.difference:.2g}",
            width,
            initial_indent="  ",
        ),
        "∂L/∂b = G 1 / n",
        *_numbers(batch.bias, width),
    ]
    if batch.l2:
        lines += [f"∂J/∂W = ∂L/∂W + 2 λ W, λ = {batch.l2:g}", _summary(batch.gradient)]
    return "\n".join(lines)


def _table(batch: BatchExplanation, values: Array, width: int) -> list[str]:
    """Return a matrix with a row per class and a column per example, in blocks that fit."""
    lines = []
    names = [printable(name) for name in batch.class_names]
    if len(values) != len(names):
        names = ["score"] * len(values)
    elif max(map(len, names)) > _TITLE:
        numbered = [f"{k} {name}" for k, name in enumerate(names)]
        lines = paragraph("; ".join(numbered[:_MAX_ROWS]), width, "  ")
        names = [str(k) for k in range(len(names))]
    title = max(map(len, names))
    per_block = max(1, (width - 3 - title) // _CELL)
    for start in range(0, batch.n, per_block):
        columns = range(start, min(start + per_block, batch.n))
        head = "".join(f"{batch.first + i:>{_CELL}}" for i in columns)
        lines.append(f"  {'':<{title}}{head}")
        for k in range(min(len(values), _MAX_ROWS)):
            cells = "".join(f"{values[k, i]:>{_CELL}.3g}" for i in columns)
            lines.append(f"  {names[k]:<{title}}{cells}")
        if len(values) > _MAX_ROWS:
            lines.append(f"  ({_MAX_ROWS} of {len(values)} rows; --json has all)")
    return lines


def _numbers(values: Array, width: int) -> list[str]:
    text = " ".join(f"{value:.3g}" for value in values[:_MAX_ROWS])
    more = " ..." if len(values) > _MAX_ROWS else ""
    return textwrap.wrap(
        text + more, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _summary(values: Array) -> str:
    return f"  norm {norm_of(values):.4g}, from {values.min():.4g} to {values.max():.4g}"
