"""The lecture's decision functions, and SoftMax by itself.

A classifier with one output stands for two classes: its score s is the pair of scores
(-s/2, +s/2), so that p_1 = 1 / (1 + exp(-s)) and both losses apply to it unchanged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.losses import Array


def decide_by_sign(scores: Array) -> NDArray[np.intp]:
    """g(x) = sign(s): class 1 where s > 0, else class 0; ... x 1 x n scores give ... x n."""
    decisions: NDArray[np.intp] = (scores[..., 0, :] > 0).astype(np.intp)
    return decisions


def decide_by_score(scores: Array) -> NDArray[np.intp]:
    """g(x) = arg max_j s_j; ... x C x n scores give ... x n; of equal scores the first class."""
    decisions: NDArray[np.intp] = np.argmax(scores, axis=-2)
    return decisions


def decide(scores: Array) -> NDArray[np.intp]:
    """Decide by the sign of a single score, or by the largest of several.

    SoftMax is increasing in every score, so the largest probability would decide the same.
    """
    return decide_by_sign(scores) if scores.shape[-2] == 1 else decide_by_score(scores)


def class_scores(scores: Array) -> Array:
    """Return a score per class: ... x 1 x n becomes ... x 2 x n, anything else stays as it is."""
    if scores.shape[-2] > 1:
        return scores
    half = scores * scores.dtype.type(0.5)
    return np.concatenate([-half, half], axis=-2)


def probabilities(scores: Array) -> Array:
    """P = SoftMax(S), column by column; ... x C x n, or two rows for a single score."""
    S = class_scores(scores)
    P: Array = np.exp(S - S.max(axis=-2, keepdims=True))
    P /= P.sum(axis=-2, keepdims=True)
    return P
