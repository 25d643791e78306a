"""The losses of one example, compiled by numba: the same functions as each `Loss` record's.

All have one signature: ``l = loss(s, label, smoothing)`` overwrites the scores s, C float32, with
g = dl/ds. Imported by the kernels alone, as it needs numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, _nrt=False)
def softmax_cross_entropy(s: Any, label: int, smoothing: float) -> float:
    """Return l = -y^T log(SoftMax(s)) with y = (1 - a) e_label + a / C; s becomes p - y."""
    C = len(s)
    largest = s[0]
    for k in range(1, C):
        if not s[k] <= largest:  # also where it is NaN, so that the loss shows it
            largest = s[k]
    share = smoothing / np.float32(C)
    total = expected = np.float32(0)
    for k in range(C):
        z = s[k] - largest
        expected += share * z
        if k == label:
            expected += (np.float32(1) - smoothing) * z
        s[k] = math.exp(z)
        total += s[k]
    for k in range(C):
        s[k] = s[k] / total - share
    s[label] -= np.float32(1) - smoothing
    return float(math.log(total)) - float(expected)


@njit(nogil=True, _nrt=False)
def multiclass_svm(s: Any, label: int, smoothing: float) -> float:
    """Return l = sum over j != label of max(0, s_j - s_label + 1); s becomes g.

    ``smoothing`` is 0: this loss takes no soft targets.
    """
    own = s[label]
    loss, violations = np.float32(0), np.float32(0)
    for k in range(len(s)):
        margin = s[k] - own + np.float32(1)
        s[k] = 0
        if k != label and not margin <= 0:  # also where it is NaN
            loss += margin
            violations += np.float32(1)
            s[k] = 1
    s[label] = -violations
    return float(loss)
