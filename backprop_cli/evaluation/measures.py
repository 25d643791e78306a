"""The table of measures: how good a model's answers are, from 0 to 1, larger is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.evaluation.answers import Answers
from backprop_cli.evaluation.counts import ClassCounts
from backprop_cli.evaluation.intervals import Interval, mann_whitney, percentile, wilson

_TOP = 5
_MAX_RESAMPLED = 100  # classes; resampling more of them takes seconds


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes
    ----------
    name
        Of its key in JSON, and of the config's value.
    title
        What people read.
    takes
        Which of the `Answers` it is computed from.
    value
        Returns it; NaN where it is not defined.
    interval
        Returns its 95 % confidence interval; None where there is none.
    min_classes, max_classes
        The numbers of classes that it is made for.
    """

    name: str
    title: str
    takes: Literal["decisions", "ranks", "differences"]
    value: Callable[[Answers], float]
    interval: Callable[[Answers], Interval | None]
    min_classes: int = 2
    max_classes: float = math.inf

    def suits(self, n_classes: int) -> bool:
        """Return whether it is made for so many classes."""
        return self.min_classes <= n_classes <= self.max_classes


def balanced_accuracy(counts: ClassCounts) -> NDArray[np.float64]:
    """Return the mean recall of the classes that there are examples of; ... x C gives ..."""
    return _mean(counts.right, counts.examples)


def macro_f1(counts: ClassCounts) -> NDArray[np.float64]:
    """Return the mean F1 of the classes that occur in labels or decisions; ... x C gives ...

    F1 = 2 precision recall / (precision + recall) = 2 right / (examples + decisions).
    """
    return _mean(2 * counts.right, counts.examples + counts.decisions)


def auc(differences: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """Return the area under the ROC curve of two classes; NaN if one of them does not occur.

    It is the Mann-Whitney statistic: the share of the pairs, one example of each class, of which
    that of class 1 has the larger difference of scores; equal ones count half.
    """
    n1 = int((labels == 1).sum())
    n0 = len(labels) - n1
    if not n0 or not n1:
        return math.nan
    _, place, counts = np.unique(differences, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    midranks = (last - (counts - 1) / 2)[place.reshape(-1)]  # ranks from 1; equal ones share theirs
    return float((midranks[labels == 1].sum() - n1 * (n1 + 1) / 2) / (n0 * n1))


def suited(n_classes: int) -> list[Measure]:
    """Return the measures that are made for so many classes."""
    return [measure for measure in MEASURES.values() if measure.suits(n_classes)]


def refuse_unsuited(name: str, labels: NDArray[np.int64], n_classes: int) -> None:
    """Refuse to select by a measure that is not defined.

    Parameters
    ----------
    name
        The value of ``training.select_by``.
    labels
        Those of the validation split.
    n_classes
        C.

    Raises
    ------
    DataError
        Says what the measure needs.
    """
    measure = MEASURES.get(name)
    if measure is None:  # loss
        return
    if not measure.suits(n_classes):
        needs = "two" if measure.max_classes == 2 else f"at least {measure.min_classes}"
        raise DataError(f"training.select_by: {name} needs {needs} classes, found {n_classes}")
    if measure.takes == "differences" and len(np.unique(labels)) < 2:
        raise DataError(
            f"training.select_by: {name} needs validation examples of both classes, found one; "
            "data.stratified: true puts some of each there"
        )


def _mean(shares: NDArray[Any], totals: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of shares / totals where totals are not 0."""
    occur = totals > 0
    quotients = np.divide(shares, totals, out=np.zeros(totals.shape), where=occur)
    mean: NDArray[np.float64] = quotients.sum(axis=-1) / occur.sum(axis=-1)
    return mean


def _right(answers: Answers) -> int:
    return int(answers.counts.by_class.right.sum())


def _top(answers: Answers) -> int:
    if answers.ranks is None:
        raise ValueError("expected ranks, found none")
    return int((answers.ranks < _TOP).sum())


def _auc(answers: Answers) -> float:
    if answers.differences is None:
        raise ValueError("expected differences of scores, found none")
    return auc(answers.differences, answers.labels)


def _auc_interval(answers: Answers) -> Interval | None:
    found, n1 = _auc(answers), int(answers.labels.sum())
    return None if math.isnan(found) else mann_whitney(found, len(answers.labels) - n1, n1)


def _of_counts(
    name: str, title: str, function: Callable[[ClassCounts], NDArray[np.float64]]
) -> Measure:
    """Return a measure that is a function of each class's counts."""

    def interval(answers: Answers) -> Interval | None:
        if answers.n_classes > _MAX_RESAMPLED:
            return None
        return percentile(function(answers.counts.resampled))

    def value(answers: Answers) -> float:
        return float(function(answers.counts.by_class))

    return Measure(name, title, "decisions", value, interval)


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "accuracy", "accuracy", "decisions",
            lambda answers: _right(answers) / len(answers.labels),
            lambda answers: wilson(_right(answers), len(answers.labels)),
        ),
        Measure(
            "top_5_accuracy", "top-5 accuracy", "ranks",
            lambda answers: _top(answers) / len(answers.labels),
            lambda answers: wilson(_top(answers), len(answers.labels)),
            min_classes=_TOP + 1,
        ),
        _of_counts("balanced_accuracy", "balanced accuracy", balanced_accuracy),
        _of_counts("macro_f1", "macro F1", macro_f1),
        Measure("auc", "AUC", "differences", _auc, _auc_interval, max_classes=2),
    )
}  # fmt: skip
"""All measures by name, in the order in which they are shown."""

SELECTABLE = (*MEASURES, "loss")
"""What the best epoch may be chosen by: a measure, or the validation loss."""
