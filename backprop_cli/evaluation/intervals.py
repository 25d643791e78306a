"""95 % confidence intervals of measures, for examples that are drawn independently."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

Z = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""

_HALVINGS = 60


def wilson(right: int, n: int) -> Interval:
    """Return Wilson's interval for a share: all p with |right/n - p| <= z sqrt(p (1 - p) / n).

    See Wilson (1927), and Brown, Cai and DasGupta (2001) on why this one.
    """
    p, square = right / n, Z**2 / n
    middle = (p + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(p * (1 - p) / n + square / (4 * n))
    # At the ends rounding would leave 1e-17 in place of 0, and a 1 that is not quite 1.
    return (0.0 if right == 0 else middle - half), (1.0 if right == n else middle + half)


def percentile(resampled: NDArray[np.float64]) -> Interval | None:
    """Return the percentile interval of a measure of bootstrap samples (Efron, 1979).

    None where all samples have the same value, as where every decision is right: then they say
    nothing of how far off the value may be.
    """
    if np.ptp(resampled) == 0:
        return None
    low, high = np.quantile(resampled, [0.025, 0.975]).tolist()
    return low, high


def mann_whitney(auc: float, n_first: int, n_second: int) -> Interval:
    """Return an interval for the area under the ROC curve, of two classes' numbers of examples.

    As Wilson's, it is all a with |auc - a| <= z sqrt(V(a)), so it is of use at 0 and 1 as well.
    The variance is that of Hanley and McNeil (1982) with both numbers of examples in it replaced by
    their mean, method 5 of Newcombe (2006):
    V(a) = a (1 - a) (1 + n ((1 - a) / (2 - a) + a / (1 + a))) / (n0 n1), n = (n0 + n1) / 2 - 1.
    """
    n = (n_first + n_second) / 2 - 1

    def outside(a: float) -> bool:
        spread = a * (1 - a) * (1 + n * ((1 - a) / (2 - a) + a / (1 + a))) / (n_first * n_second)
        return abs(auc - a) > Z * math.sqrt(spread)

    return _edge(auc, 0.0, outside), _edge(auc, 1.0, outside)


def _edge(inside: float, end: float, outside: Callable[[float], bool]) -> float:
    """Return where the interval around ``inside`` ends on the way to ``end``, by bisection."""
    if not outside(end):
        return end
    for _ in range(_HALVINGS):
        middle = (inside + end) / 2
        inside, end = (inside, middle) if outside(middle) else (middle, end)
    return inside
