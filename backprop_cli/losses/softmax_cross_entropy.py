"""Softmax cross-entropy, l = -y^T log(p) with p = SoftMax(s)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.losses.loss import Array, Loss, Vector


def loss_gradient(S: Array, Y: Array) -> tuple[Array, Array]:
    """Return l = -y^T log(p) of every example, and G = -(Y - P).

    Computed through log p_k = s_k - max(s) - log(sum_j exp(s_j - max(s))), so that neither a
    logarithm of 0 nor an overflow can occur.

    Parameters
    ----------
    S
        Scores, M x C x n; overwritten.
    Y
        Targets, M x C x n or 1 x C x n: any probability vectors.

    Returns
    -------
    losses
        M x n.
    G
        M x C x n, in the memory of S.
    """
    S -= S.max(axis=1, keepdims=True)
    expected = (Y * S).sum(axis=1)  # y^T (s - max(s))
    P = np.exp(S, out=S)
    total = P.sum(axis=1, keepdims=True)
    P /= total
    losses = np.log(total[:, 0]) - expected  # -y^T log(p), as y sums to 1
    G = np.subtract(P, Y, out=P)
    return losses, G


def by_example(s: Vector, y: Vector) -> tuple[float, Vector]:
    """Return l = -y^T log(p) and g = -(y - p)."""
    z = s - s.max()
    log_p = z - math.log(np.exp(z).sum())
    return float(-(y @ log_p)), -(y - np.exp(log_p))


def values(S: NDArray[Any], Y: Vector) -> NDArray[Any]:
    """Return log(sum_j exp(s_j)) - y^T s of every example; scores may be complex."""
    S = S - S.real.max(axis=0)
    return np.asarray(np.log(np.exp(S).sum(axis=0)) - (Y * S).sum(axis=0))


def curvature(S: Array) -> tuple[Array, Array]:
    """Return p and p: the second derivative of an example is diag(p) - p p^T."""
    P = np.exp(S - S.max(axis=0))
    P /= P.sum(axis=0)
    return P, P


SOFTMAX_CROSS_ENTROPY = Loss(
    name="softmax_cross_entropy",
    loss_gradient=loss_gradient,
    by_example=by_example,
    values=values,
    at_equal_scores=math.log,
    graph=(("p", "softmax"), ("l", "cross_entropy")),
    smooth=True,
    takes_soft_targets=True,
    curvature_bound=lambda n_classes: 0.5,  # Boehning (1992), for any number of classes
    curvature=curvature,
    kernel="softmax_cross_entropy",
)
"""l = -y^T log(SoftMax(s))."""
