"""Evaluating M models on a split, in one pass over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.datasets import Split
from backprop_cli.engine import Array, BatchEngine, decide
from backprop_cli.objective import Objective

_BATCH_BYTES = 8_000_000


def evaluation_batch(n_features: int, n_scores: int, itemsize: int) -> int:
    """Return how many examples to evaluate at once: enough for the BLAS, within the caches.

    ``n_features`` is what stands in a buffer for each example, ``n_scores``, M C, in a few more.
    """
    return max(1, min(2048, _BATCH_BYTES // ((n_features + 4 * n_scores) * itemsize)))


@dataclass(frozen=True)
class Figures:
    """Mean loss and accuracy of M models, and what they decided.

    Attributes
    ----------
    loss, accuracy
        M numbers each.
    decisions
        M x n classes.
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    decisions: NDArray[np.intp]


def evaluate(
    engine: BatchEngine,
    scores: Callable[[NDArray[Any], NDArray[np.intp]], Array],
    split: Split,
    objective: Objective,
    batch: int,
) -> Figures:
    """Return loss and decisions of the engine's models on every example of a split.

    ``scores`` of some rows of the features are S, in the engine's buffer; ``batch`` of them at
    once.
    """
    n = len(split)
    total = np.zeros(engine.n_models)
    decisions = np.empty((engine.n_models, n), np.intp)
    memory = objective.buffer(batch)
    for examples in _slices(n, batch):
        rows = split.rows[examples]
        labels = split.labels[rows]
        decisions[:, examples] = decide(scores(split.features, rows))
        losses = engine.losses_of_scores(objective.targets(labels, memory))
        weights = objective.example_weights(labels)
        if weights is not None:
            losses *= weights
        total += losses.sum(axis=1, dtype=np.float64)
    right = decisions == split.own_labels()
    return Figures(total / n, right.mean(axis=1), decisions)


def _slices(n: int, size: int) -> Iterator[slice]:
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))
