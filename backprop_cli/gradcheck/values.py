"""Values of the cost from its definition, for real and for complex scores; not the engine's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.problem import Problem


def class_scores(S: NDArray[Any]) -> NDArray[Any]:
    """Return a score a class, C x n: a single score s (1 x n) is the pair (-s/2, +s/2)."""
    return S if len(S) > 1 else np.concatenate([-S / 2, S / 2])


def margins(S: NDArray[Any], problem: Problem) -> NDArray[Any]:
    """Return s_j - s_y + 1 for all classes and examples, C x n; 0 for the true class."""
    S, Y = class_scores(S), problem.Y
    return np.asarray(S - (Y * S).sum(axis=0) + 1 - Y)


def losses(S: NDArray[Any], problem: Problem) -> NDArray[Any]:
    """Return the loss of every example, n, for scores S, O x n; complex ones for softmax only."""
    if problem.loss == "multiclass_svm":
        return np.asarray(np.maximum(0, margins(S, problem)).sum(axis=0))
    S = class_scores(S)
    S = S - S.real.max(axis=0)
    return np.asarray(np.log(np.exp(S).sum(axis=0)) - (problem.Y * S).sum(axis=0))
