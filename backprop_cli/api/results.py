"""What the functions return: plain records that a notebook shows as HTML."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.api import html
from backprop_cli.evaluation.metrics import Evaluation
from backprop_cli.evaluation.wording import measure_texts
from backprop_cli.gradcheck import EngineCheck
from backprop_cli.losses import Array
from backprop_cli.model import LinearModel
from backprop_cli.reporting.explain import Explanation, to_html, to_mapping, to_text
from backprop_cli.runs.history import load_history
from backprop_cli.runs.result import Result
from backprop_cli.runs.run_directory import load_run

_SHOWN = 10  # examples of predictions
_TOP = 3  # classes of an example


@dataclass(frozen=True)
class TrainedRun:
    """A finished run.

    Attributes
    ----------
    path
        The run directory.
    result
        Its figures: `validation`, `test`, and `ending`, which says how near the optimum it is.
    """

    path: pathlib.Path
    result: Result

    @functools.cached_property
    def model(self) -> LinearModel:
        """The classifier."""
        return load_run(str(self.path))[1]

    @functools.cached_property
    def history(self) -> list[dict[str, Any]]:
        """The figures of every epoch."""
        return load_history(self.path)

    def to_mapping(self) -> dict[str, Any]:
        """Return the summary as plain Python objects, as in ``summary.json``."""
        return self.result.to_mapping()

    def _repr_html_(self) -> str:
        splits = (("validation", self.result.validation), ("test", self.result.test))
        rows = [
            (name, f"{100 * found.accuracy:.2f} %", f"{found.loss:.4f}", found.n_examples)
            for name, found in splits
            if found is not None
        ]
        ending = self.result.ending
        notes = [ending.line(), *ending.remarks, f"run directory: {self.path}"]
        return (
            html.table(("split", "accuracy", "loss", "examples"), rows)
            + html.loss_curves(self.history)
            + "".join(map(html.paragraph, notes))
        )


@dataclass(frozen=True)
class RunEvaluation:
    """How a run's model does on a split.

    Attributes
    ----------
    split
        train, validation or test.
    evaluation
        Its figures.
    notes
        What one should know before trusting them.
    """

    split: str
    evaluation: Evaluation
    notes: tuple[str, ...]

    @property
    def measures(self) -> dict[str, float]:
        """Every measure by name: accuracy, macro_f1, ..."""
        return self.evaluation.measures

    @property
    def confusion(self) -> NDArray[np.int64]:
        """The number of examples by true class (row) and decision (column)."""
        return self.evaluation.counts.dense()

    def to_mapping(self) -> dict[str, Any]:
        """Return every figure as plain Python objects."""
        return {"split": self.split, **self.evaluation.to_mapping()}

    def _repr_html_(self) -> str:
        found = self.evaluation
        rows = [*measure_texts(found).items(), ("loss", f"{found.loss:.4f}")]
        classes = [
            (row.name, _percent(row.precision), _percent(row.recall), row.examples)
            for row in found.classes
        ]
        return (
            "".join(map(html.paragraph, self.notes))
            + html.table((self.split, f"{found.n_examples} examples"), rows)
            + html.table(("class", "precision", "recall", "examples"), classes)
        )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


@dataclass(frozen=True, eq=False)
class Predictions:
    """The classes of n examples.

    Attributes
    ----------
    names
        What each example is called.
    class_names
        C names.
    probabilities
        n x C.
    decisions
        n class numbers.
    """

    names: Sequence[str]
    class_names: tuple[str, ...]
    probabilities: Array
    decisions: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.decisions)

    @property
    def labels(self) -> list[str]:
        """The name of each example's class."""
        return [self.class_names[k] for k in self.decisions]

    def _repr_html_(self) -> str:
        top = min(_TOP, len(self.class_names))
        rows = []
        for name, label, row in zip(
            self.names[:_SHOWN], self.labels[:_SHOWN], self.probabilities, strict=False
        ):
            best = np.argsort(-row, kind="stable")[:top]
            shown = ", ".join(f"{self.class_names[k]} {100 * row[k]:.1f} %" for k in best)
            rows.append((name, label, shown))
        more = len(self) - len(rows)
        return html.table(("example", "class", "most probable"), rows) + (
            html.paragraph(f"and {more} more") if more else ""
        )


@dataclass(frozen=True)
class Explained:
    """One example's gradient, explained; `str` gives the text, a notebook shows the page.

    Attributes
    ----------
    explanation
        Values, Jacobians and gradients, in the order of computation.
    """

    explanation: Explanation

    def __str__(self) -> str:
        return to_text(self.explanation)

    def to_html(self) -> str:
        """Return the page, on which the arrow keys step through both passes."""
        return to_html(self.explanation)

    def to_mapping(self) -> dict[str, Any]:
        """Return the explanation as plain Python objects."""
        return to_mapping(self.explanation)

    def _repr_html_(self) -> str:
        return html.frame(self.to_html())


class GradientCheck(EngineCheck):
    """An engine's gradient against other derivations; a notebook shows the table.

    Attributes
    ----------
    engine
        The engine that trains, and its number type.
    rows
        A comparison per engine, quantity and derivation.
    idle
        Engines with which nothing could be compared: take another ``training.seed``.
    """

    def _repr_html_(self) -> str:
        head = ("engine", "cost", "quantity", "derivation", "checked", "relative error", "agrees")
        rows = [
            (row.engine, row.cost, row.parameter, row.derivation, row.checked,
             f"{row.relative_error:.1e}" if row.checked else "-", "yes" if row.agrees else "NO")
            for row in self.rows
        ]  # fmt: skip
        verdict = "The gradients agree." if self.agrees else "The gradients DISAGREE."
        if self.idle and all(row.agrees for row in self.rows):
            verdict = f"Nothing could be compared with {' and '.join(self.idle)}."
        return html.paragraph(verdict) + html.table(head, rows)
