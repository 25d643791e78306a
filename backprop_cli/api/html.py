"""Pieces of HTML for notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT, _MARGIN = 360, 150, 8
_CURVES = (
    ("train_loss", "training loss", "#1f77b4"),
    ("validation_loss", "validation loss", "#d95f02"),
)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; cells are escaped."""
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{_cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"


def _cells(tag: str, texts: Iterable[object]) -> str:
    return "".join(f"<{tag}>{escape(str(text))}</{tag}>" for text in texts)


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def frame(page: str) -> str:
    """Return a whole page in a frame, apart from the notebook's own styles."""
    return (
        f'<iframe srcdoc="{escape(page)}" title="explanation" '
        'style="width: 100%; height: 720px; border: 0"></iframe>'
    )


def loss_curves(history: Sequence[Mapping[str, Any]]) -> str:
    """Return a picture of the losses by epoch; nothing for fewer than two epochs."""
    found = []
    for key, title, colour in _CURVES:
        values = [(k, line[key]) for k, line in enumerate(history) if line[key] is not None]
        if len(values) > 1:
            if key == "train_loss" and history[-1].get("train_figures") == "steps":
                title += " (mean over the steps)"
            found.append((title, colour, values))
    everything = [value for _, _, values in found for _, value in values]
    if not everything or not all(map(math.isfinite, everything)):
        return ""
    low, high = min(everything), max(everything)
    span = (high - low) or 1.0
    lines, labels = [], []
    for title, colour, values in found:
        points = " ".join(
            f"{_MARGIN + k * (_WIDTH - 2 * _MARGIN) / (len(history) - 1):.1f},"
            f"{_MARGIN + (high - value) * (_HEIGHT - 2 * _MARGIN) / span:.1f}"
            for k, value in values
        )
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        labels.append(f'<span style="color: {colour}">{title} {values[-1][1]:.4f}</span>')
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="losses from epoch 1 to {len(history)}">{"".join(lines)}</svg>'
        f"<p>{', '.join(labels)}, after {len(history)} epochs</p>"
    )
