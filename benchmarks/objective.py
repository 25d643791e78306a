"""The cost, its gradient and a bound on its distance to the optimum, in float64 by definition.

J(W, b) = mean of -log softmax(W x + b)[y] + l2 sum of W^2, without a penalty on b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_STD = 1e-8  # a feature of smaller spread counts as constant and becomes 0

Array = NDArray[np.float64]

_BIAS_STEPS = 20
_BLOCK = 1024  # examples


def moments(x: NDArray[Any]) -> tuple[Array, Array]:
    """Return mean and standard deviation of each feature, with 1 for that of a constant one."""
    mean = x.mean(axis=0, dtype=np.float64)
    std = np.sqrt(np.mean((x - mean) ** 2, axis=0))
    std[std < MIN_STD] = 1.0
    return mean, std


@dataclass(frozen=True)
class Evaluation:
    """The cost at (W, b), the norm of its gradient, and a bound on J - J*."""

    cost: float
    gradient_norm: float
    bound: float


def evaluate(W: Array, b: Array, x: Array, y: NDArray[np.int64], l2: float) -> Evaluation:
    """Evaluate J at (W, b), and the bound at (W, b'), where b' is the best bias for W.

    F(W) = min over b of J(W, b) is strongly convex with constant 2 l2, and its gradient is that of
    J at (W, b'). Therefore F(W) - J* is at most |dJ/dW|^2 / (4 l2), and J(W, b) - F(W) comes on
    top. Both bounds are those of exact arithmetic: below 1e-15 they only say "by rounding".
    """
    scores = x @ W.T
    cost, G = _cost_and_errors(scores + b, y)
    penalty = l2 * float(np.vdot(W, W))
    norm = np.sqrt(np.sum((G.T @ x + 2 * l2 * W) ** 2) + np.sum(G.sum(axis=0) ** 2))
    bias = _best_bias(scores, b, y)
    best, G = _cost_and_errors(scores + bias, y)
    bound = np.sum((G.T @ x + 2 * l2 * W) ** 2) / (4 * l2) + max(cost - best, 0.0)
    return Evaluation(cost + penalty, float(norm), float(bound))


def cost(W: Array, b: Array, x: NDArray[Any], y: NDArray[np.int64], l2: float) -> float:
    """Return J on features as stored, which are standardized block by block."""
    mean, std = moments_in_blocks(x)
    total = 0.0
    for rows in _blocks(x):
        scores = (x[rows] - mean) / std @ W.T + b
        total += _cost_and_errors(scores, y[rows])[0] * len(scores)
    return total / len(x) + l2 * float(np.vdot(W, W))


def moments_in_blocks(x: NDArray[Any]) -> tuple[Array, Array]:
    """Return what `moments` returns, in little memory."""
    mean = sum(x[rows].sum(axis=0, dtype=np.float64) for rows in _blocks(x)) / len(x)
    squares = sum(((x[rows] - mean) ** 2).sum(axis=0) for rows in _blocks(x))
    std = np.sqrt(squares / len(x))
    std[std < MIN_STD] = 1.0
    return mean, std


def standardized(x: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return the features as every peer gets them, made in little memory."""
    mean, std = moments_in_blocks(x)
    made = np.empty(x.shape, dtype)
    for rows in _blocks(x):
        made[rows] = (x[rows] - mean) / std
    return made


def _blocks(x: NDArray[Any]) -> list[slice]:
    return [slice(first, first + _BLOCK) for first in range(0, len(x), _BLOCK)]


def _best_bias(scores: Array, b: Array, y: NDArray[np.int64]) -> Array:
    """Minimize the mean loss over the bias, by Newton's method from a bias close to the best."""
    for _ in range(_BIAS_STEPS):
        _, G = _cost_and_errors(scores + b, y)
        gradient = G.sum(axis=0)
        if np.abs(gradient).max() < 1e-15:
            break
        P = G * len(y)
        P[np.arange(len(y)), y] += 1
        hessian = np.diag(P.mean(axis=0)) - P.T @ P / len(y)
        # A constant added to every bias changes nothing: least squares leaves it out.
        b = b - np.linalg.lstsq(hessian, gradient, rcond=1e-12)[0]
    return b


def _cost_and_errors(scores: Array, y: NDArray[np.int64]) -> tuple[float, Array]:
    """Return the mean loss and (P - Y) / n, its derivative by the scores, in their place."""
    rows = np.arange(len(y))
    scores -= scores.max(axis=1, keepdims=True)
    true = scores[rows, y]
    P = np.exp(scores, out=scores)
    total = P.sum(axis=1)
    cost = float(np.mean(np.log(total) - true))
    P /= total[:, None]
    P[rows, y] -= 1
    P /= len(y)
    return cost, P
