"""Figures of a classifier on some examples."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator, Serial, own_share
from backprop_cli.engine import Targets, class_scores
from backprop_cli.errors import DataError
from backprop_cli.evaluation.answers import Answers, taken
from backprop_cli.evaluation.counts import Counts
from backprop_cli.evaluation.intervals import Interval
from backprop_cli.evaluation.measures import suited
from backprop_cli.losses import LOSSES
from backprop_cli.model import LinearModel
from backprop_cli.sources import Split

MAX_MATRIX = 500
"""The largest number of classes whose confusion matrix is written out; of more, only its pairs."""


class ClassFigures(NamedTuple):
    """How a model does on one class.

    Attributes
    ----------
    name
        Of the class.
    precision
        Right decisions / decisions; None where there is no decision.
    recall
        Right decisions / examples; None where there is no example.
    examples
        How many there are.
    """

    name: str
    precision: float | None
    recall: float | None
    examples: int


@dataclass(frozen=True)
class Evaluation:
    """How a model does on a split.

    Attributes
    ----------
    loss
        Mean loss against the labels as they are: no label smoothing, no class weights, no l2.
    answers
        What the model says.
    class_names
        C names.
    """

    loss: float
    answers: Answers
    class_names: tuple[str, ...]

    @property
    def n_examples(self) -> int:
        """The number of examples."""
        return len(self.answers.labels)

    @property
    def counts(self) -> Counts:
        """The pairs of label and decision."""
        return self.answers.counts

    @property
    def accuracy(self) -> float:
        """The share of right decisions, 0 to 1."""
        return self.measures["accuracy"]

    @functools.cached_property
    def measures(self) -> dict[str, float]:
        """Every measure for so many classes, by name, as in `MEASURES`; NaN: not defined."""
        return {m.name: m.value(self.answers) for m in suited(len(self.class_names))}

    @functools.cached_property
    def intervals(self) -> dict[str, Interval | None]:
        """The 95 % confidence interval of each measure; None where there is none."""
        return {m.name: m.interval(self.answers) for m in suited(len(self.class_names))}

    @functools.cached_property
    def classes(self) -> list[ClassFigures]:
        """The figures of each class."""
        examples, decisions, right = self.counts.by_class
        columns = (_shares(right, decisions), _shares(right, examples), map(int, examples))
        return list(map(ClassFigures, self.class_names, *columns))

    def figures(self) -> dict[str, Any]:
        """Return loss, measures and their intervals as plain Python objects, for JSON."""
        measures = {k: None if math.isnan(v) else v for k, v in self.measures.items()}
        intervals = {k: None if v is None else list(v) for k, v in self.intervals.items()}
        return {
            "examples": self.n_examples, "loss": self.loss, **measures, "intervals": intervals,
        }  # fmt: skip

    def to_mapping(self) -> dict[str, Any]:
        """Return every figure as plain Python objects, for JSON.

        The confusion matrix is written as C x C ``confusion``; that of more than `MAX_MATRIX`
        classes as ``confusion_pairs``, rows of label, decision and count, both from 0.
        """
        if len(self.class_names) <= MAX_MATRIX:
            confusion: dict[str, Any] = {"confusion": self.counts.dense().tolist()}
        else:
            pairs = (self.counts.labels, self.counts.decisions, self.counts.counts)
            confusion = {"confusion_pairs": np.stack(pairs, axis=1).tolist()}
        classes = [row._asdict() for row in self.classes]
        return {**self.figures(), "classes": classes, **confusion}


def evaluate_model(
    model: LinearModel, split: Split, communicator: Communicator | None = None
) -> Evaluation:
    """Evaluate a model on a split.

    Parameters
    ----------
    model
        The classifier.
    split
        Its examples.
    communicator
        The processes that have a share in them; by default this one is alone.

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
    communicator = communicator or Serial()
    own = slice(*own_share(communicator, len(split)))
    own_labels = labels[own]
    targets = Targets.plain(n_classes, model.weights.dtype)
    parts: dict[str, list[NDArray[Any]]] = {measure.takes: [] for measure in suited(n_classes)}
    total = 0.0
    for some, scores in model.score_blocks(split.source, split.rows[own]):
        for what, blocks in parts.items():
            blocks.append(taken(what, scores, own_labels[some]))
        columns = targets.columns(own_labels[some])
        losses, _ = LOSSES[model.loss].loss_gradient(class_scores(scores[None]), columns)
        total += float(losses.sum(dtype=np.float64))
    shares = communicator.gather((total, parts))
    total = math.fsum(loss for loss, _ in shares)
    whole = {
        what: np.concatenate([block for _, share in shares for block in share[what]])
        for what in parts
    }
    answers = Answers(labels, n_classes, **whole)
    return Evaluation(total / len(split), answers, model.class_names)


def _shares(right: NDArray[np.float64], totals: NDArray[np.float64]) -> list[float | None]:
    return [float(r / t) if t else None for r, t in zip(right, totals, strict=True)]
