"""How often each class is taken for each other one, without a C x C matrix."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
"""How often the examples are drawn again for a bootstrap interval."""

_AT_ONCE = 100  # resamples that are held in memory
_SEED = 0


class ClassCounts(NamedTuple):
    """Counts of each class, ... x C.

    Attributes
    ----------
    examples
        How many examples there are of it.
    decisions
        How many decisions there are for it.
    right
        How many of these decisions are right.
    """

    examples: NDArray[Any]
    decisions: NDArray[Any]
    right: NDArray[Any]


@dataclass(frozen=True)
class Counts:
    """The pairs of label and decision that occur, in ascending order.

    They are at most as many as there are examples, however many classes there are.

    Attributes
    ----------
    labels, decisions
        The two classes of each pair.
    counts
        How many examples have them.
    n_classes
        C.
    """

    labels: NDArray[np.int64]
    decisions: NDArray[np.int64]
    counts: NDArray[np.int64]
    n_classes: int

    @classmethod
    def of(cls, labels: NDArray[np.int64], decisions: NDArray[Any], n_classes: int) -> Counts:
        """Count the pairs of n examples."""
        pairs = labels.astype(np.int64) * n_classes + decisions
        found, counts = np.unique(pairs, return_counts=True)
        return cls(found // n_classes, found % n_classes, counts.astype(np.int64), n_classes)

    @functools.cached_property
    def by_class(self) -> ClassCounts:
        """The counts of each class, C."""
        n_classes, same = self.n_classes, self.labels == self.decisions
        return ClassCounts(
            examples=np.bincount(self.labels, self.counts, n_classes),
            decisions=np.bincount(self.decisions, self.counts, n_classes),
            right=np.bincount(self.labels[same], self.counts[same], n_classes),
        )

    @functools.cached_property
    def resampled(self) -> ClassCounts:
        """The counts of each class in 1000 bootstrap samples, 1000 x C; always the same ones.

        Examples drawn with replacement have multinomial counts of pairs.
        """
        n, classes, same = self.counts.sum(), np.eye(self.n_classes), self.labels == self.decisions
        rng, parts = np.random.default_rng(_SEED), []
        for _ in range(RESAMPLES // _AT_ONCE):
            drawn = rng.multinomial(n, self.counts / n, _AT_ONCE).astype(np.float64)
            examples, decisions = drawn @ classes[self.labels], drawn @ classes[self.decisions]
            parts.append((examples, decisions, drawn[:, same] @ classes[self.labels[same]]))
        return ClassCounts(*(np.concatenate(some) for some in zip(*parts, strict=True)))

    def dense(self) -> NDArray[np.int64]:
        """Return the confusion matrix, C x C: rows are labels, columns decisions."""
        matrix = np.zeros((self.n_classes, self.n_classes), np.int64)
        matrix[self.labels, self.decisions] = self.counts
        return matrix

    def most_frequent_mistakes(self, most: int) -> list[tuple[int, int, int]]:
        """Return label, decision and count of the mistakes that are made most often."""
        wrong = np.flatnonzero(self.labels != self.decisions)
        order = wrong[np.argsort(-self.counts[wrong], kind="stable")][:most]
        columns = (self.labels, self.decisions, self.counts)
        return list(zip(*(column[order].tolist() for column in columns), strict=True))
