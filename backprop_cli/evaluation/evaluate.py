"""Evaluating M models on a split, in one pass over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Array, BatchEngine, decide
from backprop_cli.objective import Objective
from backprop_cli.sources import Gatherer, Split

_BATCH_BYTES = 8_000_000


def evaluation_batch(n_features: int, n_scores: int, itemsize: int) -> int:
    """Return how many examples to evaluate at once: enough for the BLAS, within the caches.

    ``n_features`` numbers stand in a buffer for each example, ``n_scores``, M C, in a few more.
    """
    return max(1, min(2048, _BATCH_BYTES // ((n_features + 4 * n_scores) * itemsize)))


@dataclass(frozen=True)
class Figures:
    """Mean loss and accuracy of M models: M numbers each."""

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def numpy_outcomes(
    engine: BatchEngine,
    gather: Gatherer,
    split: Split,
    rows: NDArray[np.intp],
    objective: Objective,
) -> tuple[Array, NDArray[np.intp]]:
    """Return the losses and the decisions for some rows of a split, M x n each."""
    S = engine.scores(gather(split.features, rows))
    decisions = decide(S)  # before the losses, which overwrite S
    Y = objective.targets(split.labels[rows], objective.buffer(len(rows)))
    return engine.losses_of_scores(Y), decisions


def evaluate(
    outcomes: Callable[[Split, NDArray[np.intp], Objective], tuple[Array, NDArray[np.intp]]],
    split: Split,
    objective: Objective,
    n_models: int,
    batch: int,
    decisions: NDArray[np.intp] | None = None,
) -> Figures:
    """Return loss and accuracy of M models on all examples of a split.

    ``outcomes`` is asked for ``batch`` rows at once; what the models decide goes to ``decisions``,
    M x n, if there is such an array.
    """
    n = len(split)
    total, right = np.zeros(n_models), np.zeros(n_models)
    for examples in _slices(n, batch):
        rows = split.rows[examples]
        losses, decided = outcomes(split, rows, objective)
        labels = split.labels[rows]
        weights = objective.example_weights(labels)
        if weights is not None:
            losses *= weights
        total += losses.sum(axis=1, dtype=np.float64)
        right += (decided == labels).sum(axis=1)
        if decisions is not None:
            decisions[:, examples] = decided
    return Figures(total / n, right / n)


def _slices(n: int, size: int) -> Iterator[slice]:
    for first in range(0, n, size):
        yield slice(first, min(first + size, n))
