"""The two losses, each with its gradient by the scores, for M models and n examples at once.

A loss takes scores S and targets Y, overwrites S with G = dl/dS and fills in the loss of every
example. Scores are computed once, and all intermediate results go to buffers that are passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
Loss: TypeAlias = Callable[[Array, Array, Array, Array, Array], None]


def softmax_cross_entropy(S: Array, Y: Array, scratch: Array, column: Array, losses: Array) -> None:
    """Compute l = -y^T log(p) with p = SoftMax(s), and G = -(Y - P).

    Through the logarithm of SoftMax, log p_k = s_k - max(s) - log(sum_j exp(s_j - max(s))), so
    that neither a logarithm of 0 nor an overflow can occur.

    Parameters
    ----------
    S
        Scores, M x C x n; overwritten with G.
    Y
        Targets, M x C x n or 1 x C x n: any probability vectors.
    scratch
        M x C x n, overwritten.
    column
        M x 1 x n, overwritten.
    losses
        M x 1 x n, overwritten with the loss of every example.
    """
    np.max(S, axis=1, keepdims=True, out=column)
    S -= column
    np.multiply(Y, S, out=scratch)
    np.sum(scratch, axis=1, keepdims=True, out=losses)  # y^T (s - max(s))
    P = np.exp(S, out=S)
    np.sum(P, axis=1, keepdims=True, out=column)
    P /= column
    np.log(column, out=column)
    np.subtract(column, losses, out=losses)  # -y^T log(p), as y sums to 1
    S -= Y  # S holds P: G = -(Y - P)


def multiclass_svm(S: Array, Y: Array, scratch: Array, column: Array, losses: Array) -> None:
    """Compute l = sum over j != y of max(0, s_j - s_y + 1) (Weston and Watkins), and G.

    G_j = 1 where the margin is violated, s_j - s_y + 1 > 0, and G_y = minus their number. Where
    s_j - s_y + 1 is 0 exactly, the subgradient 0 is taken.

    Parameters
    ----------
    S
        Scores, M x C x n; overwritten with G.
    Y
        Targets, M x C x n or 1 x C x n: one-hot columns only.
    scratch
        M x C x n, overwritten.
    column
        M x 1 x n, overwritten.
    losses
        M x 1 x n, overwritten with the loss of every example.
    """
    np.multiply(Y, S, out=scratch)
    np.sum(scratch, axis=1, keepdims=True, out=column)  # s_y
    S -= column
    S += 1.0
    S -= Y  # the true class has no margin: s_y - s_y + 1 - 1 = 0
    np.maximum(S, 0.0, out=S)
    np.sum(S, axis=1, keepdims=True, out=losses)
    np.greater(S, 0.0, out=S)
    np.sum(S, axis=1, keepdims=True, out=column)
    np.multiply(Y, column, out=scratch)
    S -= scratch


LOSSES: dict[str, Loss] = {
    "softmax_cross_entropy": softmax_cross_entropy,
    "multiclass_svm": multiclass_svm,
}
"""The losses by their names in a config."""
