"""The report of a run as text for a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from backprop_cli.errors import printable
from backprop_cli.evaluation.counts import Counts
from backprop_cli.evaluation.reliability import reliability
from backprop_cli.evaluation.wording import measure_lines
from backprop_cli.reporting.fitted import confusion_matrix, paragraph, table, titled
from backprop_cli.reporting.report.view import RunView
from backprop_cli.runs.convergence import length_line

_MAX_WIDTH = 80
_BLOCKS = "▁▂▃▄▅▆▇█"
_MAX_CLASSES = 10  # in a confusion matrix
_MAX_CONFUSIONS = 15
_CURVES = (
    ("train_cost", "cost, training"),
    ("train_loss", "loss, training"),
    ("validation_loss", "loss, validation"),
    ("train_accuracy", "accuracy, training"),
    ("validation_accuracy", "accuracy, validation"),
    ("learning_rate", "learning rate"),
)


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Return a curve as blocks of eight heights; values that are not finite are gaps.

    A curve of more than ``width`` values is split into ``width`` parts, whose means are shown.
    """
    numbers = np.array([np.nan if v is None else v for v in values], float)
    parts = np.array_split(numbers, min(width, len(numbers)))
    means = [
        float(part[np.isfinite(part)].mean()) if np.isfinite(part).any() else np.nan
        for part in parts
    ]
    finite = [value for value in means if np.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        _BLOCKS[round((value - low) * scale)] if np.isfinite(value) else " " for value in means
    )


def to_text(view: RunView, columns: int = _MAX_WIDTH) -> str:
    """Return the report for a terminal of so many columns, in lines of at most 80 characters."""
    width = min(columns, _MAX_WIDTH)
    view = dataclasses.replace(view, class_names=tuple(map(printable, view.class_names)))
    title = f"run {printable(view.name)}: {view.config['data']['format']}, {view.config['loss']}"
    lines = [*paragraph(title, width), ""]
    for split, found in view.evaluations.items():
        lines += titled(
            split,
            f"accuracy {100 * found.accuracy:.2f} %   loss {found.loss:.4f}   "
            f"({found.n_examples} examples)",
            width,
        )
        lines += [f"  {line}" for line in measure_lines(found)]
    if view.training is not None:
        lines += titled("training", view.training, width)
    lines += [length_line(view.unit, view.kept_epoch, len(view.history)), ""]
    lines += _curves(view, width) if view.history else [f"no {view.unit} has finished"]
    if view.shown is not None and view.predictions is not None:
        predictions = view.predictions
        found_bins = reliability(
            predictions.confidence(), predictions.decisions == predictions.labels
        )
        lines += [
            "",
            f"calibration error {100 * found_bins.error:.2f} % on {predictions.split}",
            "",
        ]
        lines += _confusion(view.shown.counts, view.class_names, width)
    return "\n".join(lines)


def _curves(view: RunView, width: int) -> list[str]:
    lines = []
    for key, label in _CURVES:
        values = [line[key] for line in view.history]  # None where an epoch was not evaluated
        numbers = [value for value in values if value is not None]
        if not numbers:
            continue
        if key == "learning_rate" and view.unit == "step":
            label = "step length"
        ends = f"{_short(numbers[0]):>9} to {_short(numbers[-1]):<9}"
        lines.append(f"{label:<22}{ends} {sparkline(values, max(8, width - 46))}")
    if view.trained != "training":
        lines += paragraph("Training figures are averages over the steps of each epoch.", width)
    return lines


def _confusion(counts: Counts, names: Sequence[str], width: int) -> list[str]:
    if counts.n_classes <= _MAX_CLASSES:
        return confusion_matrix(counts, names, width)
    rows = [("true class", "decision", "examples")]
    for i, j, n in counts.most_frequent_mistakes(_MAX_CONFUSIONS):
        rows.append((names[i], names[j], str(n)))
    return ["the most frequent confusions", *table(rows, width, (0, 1))]


def _short(value: float) -> str:
    return f"{value:.4g}"
