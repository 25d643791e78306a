"""Figures of a classifier on some examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Targets, class_scores, decide
from backprop_cli.errors import DataError
from backprop_cli.losses import LOSSES
from backprop_cli.model import LinearModel
from backprop_cli.sources import Split


@dataclass(frozen=True)
class Evaluation:
    """How a model does on a split.

    Attributes
    ----------
    loss
        Mean loss against the labels as they are: no label smoothing, no class weights, no l2.
    confusion
        C x C counts: rows are true classes, columns decisions.
    class_names
        C names.
    """

    loss: float
    confusion: NDArray[np.int64]
    class_names: tuple[str, ...]

    @property
    def n_examples(self) -> int:
        """The number of examples."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of right decisions, 0 to 1."""
        return float(np.trace(self.confusion) / self.n_examples)

    def precision(self) -> list[float | None]:
        """Return right decisions / decisions for each class; None where there is no decision."""
        return _shares(self.confusion, self.confusion.sum(axis=0))

    def recall(self) -> list[float | None]:
        """Return right decisions / examples for each class; None where there is no example."""
        return _shares(self.confusion, self.confusion.sum(axis=1))

    def to_mapping(self) -> dict[str, Any]:
        """Return every figure as plain Python objects, for JSON."""
        support = self.confusion.sum(axis=1).tolist()
        rows = zip(self.class_names, self.precision(), self.recall(), support, strict=True)
        return {
            "examples": self.n_examples,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "classes": [
                {"name": name, "precision": precision, "recall": recall, "examples": count}
                for name, precision, recall, count in rows
            ],
            "confusion": self.confusion.tolist(),
        }


def evaluate_model(model: LinearModel, split: Split) -> Evaluation:
    """Evaluate a model on a split.

    Raises
    ------
    DataError
        The examples are of another size, have other labels, or scores that are not finite.
    """
    n_classes, labels = model.n_classes, split.own_labels()
    if labels.max() >= n_classes or labels.min() < 0:
        raise DataError(
            f"{split.source.name}: expected labels 0 to {n_classes - 1}, found {labels.max()}"
        )
    targets = Targets.plain(n_classes, model.weights.dtype)
    decisions = np.empty(len(split), np.intp)
    total = 0.0
    for some, scores in model.score_blocks(split.source, split.rows):
        decisions[some] = decide(scores)
        columns = targets.columns(labels[some])
        losses, _ = LOSSES[model.loss].loss_gradient(class_scores(scores[None]), columns)
        total += float(losses.sum(dtype=np.float64))
    confusion = confusion_matrix(labels, decisions, n_classes)
    return Evaluation(total / len(split), confusion, model.class_names)


def _shares(confusion: NDArray[np.int64], totals: NDArray[np.int64]) -> list[float | None]:
    right = np.diagonal(confusion)
    return [float(r / t) if t else None for r, t in zip(right, totals, strict=True)]


def confusion_matrix(
    labels: NDArray[np.int64], decisions: NDArray[np.intp], n_classes: int
) -> NDArray[np.int64]:
    """Count pairs of label and decision: C x C, rows are labels, columns decisions."""
    pairs = np.bincount(labels * n_classes + decisions, minlength=n_classes**2)
    return pairs.reshape(n_classes, n_classes).astype(np.int64)
