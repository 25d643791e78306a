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


def draw_groups(
    rows: Rows,
    labels: NDArray[np.int64],
    groups: NDArray[np.intp],
    size: int,
    rng: np.random.Generator,
    *,
    stratified: bool,
) -> tuple[Rows, Rows]:
    """Draw whole groups, of about ``size`` examples together.

    First, groups in a random order are taken wherever they fit into what is still asked for; then
    those, smallest first, that bring the size nearer to it. So it differs from ``size`` by at most
    half of the smallest group that is left, except that at least one group is taken and one left.
    If stratified, the same is done for the sizes of all classes at once (by squared distance), with
    no such bound.

    Parameters
    ----------
    rows, labels, size, stratified
        As for `draw`.
    groups
        The groups, numbers from 0, indexed by row number; ``rows`` has at least two.

    Returns
    -------
    drawn, rest
        Both ascending.
    """
    own, of_row = np.unique(groups[rows], return_inverse=True)
    classes = labels[rows] if stratified else np.zeros(len(rows), np.int64)
    missing = _quotas(np.bincount(classes), size)
    members = np.split(np.argsort(of_row, kind="stable"), np.cumsum(np.bincount(of_row))[:-1])
    taken = np.zeros(len(own), bool)
    n_taken = 0

    def sizes(group: int) -> NDArray[np.intp]:
        return np.bincount(classes[members[group]], minlength=len(missing))

    for group in rng.permutation(len(own)).tolist():
        if not missing.any():
            break
        if (sizes(group) <= missing).all():
            missing = missing - sizes(group)
            taken[group], n_taken = True, n_taken + 1
    for group in sorted(np.flatnonzero(~taken).tolist(), key=lambda g: len(members[g])):
        if not missing.any() or n_taken == len(own) - 1:
            break
        remaining = missing - sizes(group)
        if n_taken == 0 or (remaining**2).sum() < (missing**2).sum():
            missing = remaining
            taken[group], n_taken = True, n_taken + 1
    chosen = taken[of_row]
    return rows[chosen], rows[~chosen]
