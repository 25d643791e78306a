"""What one model says of some examples: the material of every measure."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import class_scores, decide
from backprop_cli.evaluation.counts import Counts
from backprop_cli.losses import Array


@dataclass(frozen=True)
class Answers:
    """What a model says of n examples. What no measure asks for may be left out.

    Attributes
    ----------
    labels
        The true classes, n.
    n_classes
        C.
    decisions
        The decided classes, n.
    ranks
        The place of the true class among the scores, n, from 0; see `ranks`.
    differences
        The score of class 1 minus that of class 0, n; of two classes.
    """

    labels: NDArray[np.int64]
    n_classes: int
    decisions: NDArray[Any] | None = None
    ranks: NDArray[Any] | None = None
    differences: NDArray[Any] | None = None

    @functools.cached_property
    def counts(self) -> Counts:
        """The pairs of label and decision."""
        if self.decisions is None:
            raise ValueError("expected decisions, found none")
        return Counts.of(self.labels, self.decisions, self.n_classes)


def taken(what: str, scores: Array, labels: NDArray[np.int64]) -> NDArray[Any]:
    """Return what a measure takes of some examples, by the name of a field of `Answers`.

    Parameters
    ----------
    what
        decisions, ranks or differences.
    scores
        ... x O x n.
    labels
        n.

    Returns
    -------
    array
        ... x n.
    """
    if what == "decisions":
        return decide(scores)
    if what == "ranks":
        return ranks(class_scores(scores), labels)
    return differences(scores)


def ranks(scores: Array, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many classes come before the true one, by score, then by number.

    Equal scores do not flatter: a class before the true one with the same score counts too, so the
    rank is 0 exactly where the decision is right.

    Parameters
    ----------
    scores
        ... x C x n.
    labels
        n.

    Returns
    -------
    ranks
        ... x n.
    """
    true = np.take_along_axis(
        scores, np.broadcast_to(labels, (*scores.shape[:-2], 1, len(labels))), axis=-2
    )
    before = np.arange(scores.shape[-2])[:, None] < labels
    found: NDArray[np.int64] = ((scores > true) | ((scores == true) & before)).sum(axis=-2)
    return found


def differences(scores: Array) -> Array:
    """Return s_1 - s_0; ... x O x n gives ... x n, with O = 2, or O = 1 where it is the score."""
    if scores.shape[-2] == 1:
        return scores[..., 0, :].copy()
    found: Array = scores[..., 1, :] - scores[..., 0, :]
    return found
