"""Whether neighbours in a file tend to have the same class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SORTED = 0.1  # correlation
_MIN_RATIO = 3.0  # of what is found to what chance would give
_MAX_EFFECT = 10.0  # such a ratio where examples come in a few similar ones, such as crops


def class_correlation(labels: NDArray[np.int64], block: int) -> float:
    """Return the intraclass correlation of the labels of blocks, 0 by chance and 1 if sorted.

    It compares the spread of the classes' shares over the blocks with that of examples drawn at
    random, as the design effect of cluster samples does (Kish, 1965). What chance may bring is
    returned as 0.

    Parameters
    ----------
    labels
        In the order of the file.
    block
        How many neighbours make a block; a last, shorter one is left out.
    """
    n_blocks = len(labels) // block
    if block < 2 or n_blocks < 2:
        return 0.0
    own = labels[: n_blocks * block].reshape(n_blocks, block)
    n_classes = int(own.max()) + 1
    shares = np.bincount(own.reshape(-1), minlength=n_classes) / own.size
    by_chance = float((shares * (1 - shares)).sum()) / block
    squares = 0.0
    for labels_of_block in own:
        found = np.bincount(labels_of_block, minlength=n_classes) / block
        squares += float(((found - shares) ** 2).sum())
    if squares == 0 or by_chance == 0:
        return 0.0
    ratio = squares / n_blocks / by_chance
    return (ratio - 1) / (block - 1) if ratio > _MIN_RATIO else 0.0


def is_sorted(labels: NDArray[np.int64], block: int) -> bool:
    """Say whether blocks have far more examples of the same class than chance would give."""
    correlation = class_correlation(labels, block)
    # Large blocks have several of many classes, and a low correlation, but a large effect.
    return correlation > _SORTED or 1 + correlation * (block - 1) > _MAX_EFFECT
