"""Drawing examples at random, to hold them out or to train on fewer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def size_of(part: int | float, n: int) -> int:
    """Return the number of examples, out of n, that a count or a fraction stands for."""
    return part if isinstance(part, int) else round(part * n)


def draw(
    rows: Rows, labels: NDArray[np.int64], size: int, rng: np.random.Generator, *, stratified: bool
) -> tuple[Rows, Rows]:
    """Draw ``size`` of ``rows`` without replacement.

    Parameters
    ----------
    rows
        Row numbers, ascending.
    labels
        The labels, indexed by row number.
    size
        How many to draw, at most ``len(rows)``.
    stratified
        Draw each class in proportion to its share of ``rows`` (largest remainders).

    Returns
    -------
    drawn, rest
        Both ascending.
    """
    order = rng.permutation(len(rows))
    chosen = np.zeros(len(rows), bool)
    if stratified:
        own = labels[rows]
        counts = np.bincount(own)
        for label, quota in enumerate(_quotas(counts, size)):
            of_class = order[own[order] == label]
            chosen[of_class[:quota]] = True
    else:
        chosen[order[:size]] = True
    return rows[chosen], rows[~chosen]


def _quotas(counts: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Divide ``size`` among the classes in proportion to ``counts``, by largest remainders."""
    shares = counts * (size / counts.sum())
    quotas: NDArray[np.intp] = np.floor(shares).astype(np.intp)
    missing = size - int(quotas.sum())
    largest = np.argsort(quotas - shares, kind="stable")[:missing]
    quotas[largest] += 1
    return quotas
