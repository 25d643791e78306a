"""The multi-class SVM loss of Weston and Watkins, margin 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.losses.loss import Array, Loss, Vector

_WIDTH = 0.1  # of a smoothed kink, in units of the scores


def loss_gradient(S: Array, Y: Array) -> tuple[Array, Array]:
    """Return l = sum over j != y of max(0, s_j - s_y + 1) of every example, and G.

    G_j = 1 where the margin is violated, s_j - s_y + 1 > 0, and G_y = minus their number. Where
    s_j - s_y + 1 is exactly 0, the subgradient 0 is taken.

    Parameters
    ----------
    S
        Scores, M x C x n; overwritten.
    Y
        Targets, M x C x n or 1 x C x n: one-hot columns only.

    Returns
    -------
    losses
        M x n.
    G
        M x C x n, in the memory of S.
    """
    S -= (Y * S).sum(axis=1, keepdims=True)  # s_j - s_y
    S += 1.0
    S -= Y  # the true class has no margin: s_y - s_y + 1 - 1 = 0
    margins = np.maximum(S, 0.0, out=S)
    losses = margins.sum(axis=1)
    G = np.greater(margins, 0.0, out=margins)
    G -= Y * G.sum(axis=1, keepdims=True)
    return losses, G


def smoothed(S: Array, Y: Array) -> tuple[Array, Array]:
    """Return the loss with its kinks rounded off, and its G; see `loss_gradient`.

    Each hinge h(m) = max(0, m) becomes (m + w/2)^2 / (2 w) where its margin m is within w/2 of 0.
    At a kink any slope from 0 to 1 is a subgradient; those in between make better dual points.
    """
    w = _WIDTH
    margins = S - (Y * S).sum(axis=1, keepdims=True) + 1.0
    slopes = np.clip(margins / w + 0.5, 0.0, 1.0) * (1 - Y)
    near = slopes * slopes * (w / 2)
    hinges = np.where(margins > w / 2, margins * slopes, near)
    return hinges.sum(axis=1), slopes - Y * slopes.sum(axis=1, keepdims=True)


def by_example(s: Vector, y: Vector) -> tuple[float, Vector]:
    """Return l and g, class by class."""
    true = int(np.argmax(y))
    loss, g = 0.0, np.zeros(len(s))
    for j, score in enumerate(s):
        margin = score - s[true] + 1
        if j != true and margin > 0:
            loss += float(margin)
            g[j] += 1
            g[true] -= 1
    return loss, g


def values(S: NDArray[Any], Y: Vector) -> NDArray[Any]:
    """Return the sum over the wrong classes of max(0, s_j - s_y + 1) of every example."""
    return np.asarray(np.maximum(0, _margins(S, Y)).sum(axis=0))


def kinks(S: Vector, Y: Vector) -> Vector:
    """Return s_j - s_y + 1 for all classes, C x n; 1 for the true class."""
    return np.asarray(_margins(S, Y) + Y)


def _margins(S: NDArray[Any], Y: Vector) -> NDArray[Any]:
    """Return s_j - s_y + 1 for all classes, C x n; 0 for the true class."""
    return np.asarray(S - (Y * S).sum(axis=0) + 1 - Y)


MULTICLASS_SVM = Loss(
    name="multiclass_svm",
    loss_gradient=loss_gradient,
    by_example=by_example,
    values=values,
    at_equal_scores=lambda n_classes: n_classes - 1.0,
    graph=(("l", "multiclass_svm"),),
    smooth=False,
    takes_soft_targets=False,
    # With every margin on its slope: the Laplacian of a star, whose centre is the true class.
    curvature_bound=float,
    smoothed=smoothed,
    kinks=kinks,
    kernel="multiclass_svm",
)
"""l = sum over j != y of max(0, s_j - s_y + 1)."""
