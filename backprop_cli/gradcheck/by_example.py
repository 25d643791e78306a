"""The lecture's loop: the gradient of one example at a time, added up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.gradcheck.problem import Problem
from backprop_cli.losses import Vector


def loop_over_examples(
    problem: Problem, parameter: str, coordinates: NDArray[np.intp]
) -> tuple[Vector, Vector]:
    """Return dJ/dtheta_k for some coordinates, all of them certain.

    Start from zero; for each example (x, y) evaluate s = W x + b, let g be the row dl/ds, and add
    g to dL/db and g^T x^T to dL/dW; divide by the number of examples; add 2 lambda W.
    """
    W, b, n = problem.W, problem.b, len(problem.rows)
    dW, db = np.zeros_like(W), np.zeros_like(b)
    for x, y, v in zip(problem.rows, problem.Y.T, problem.example_weights, strict=True):
        g = v * _g(problem, W @ x + b, y)
        db += g
        dW += np.outer(g, x)
    dW, db = dW / n + 2 * problem.l2 * W, db / n
    gradient = {"W": dW, "b": db}[parameter]
    return gradient.reshape(-1)[coordinates], np.zeros(len(coordinates))


def mean_terms(problem: Problem) -> dict[str, float]:
    """Return mean |term| of the sums over examples that dL/dW and dL/db are: the largest of each.

    The terms may cancel, so that the gradient is much smaller; rounding is in units of the terms.
    """
    W, b = problem.W, problem.b
    sizes = np.zeros_like(b)
    for x, y, v in zip(problem.rows, problem.Y.T, problem.example_weights, strict=True):
        sizes += np.abs(v * _g(problem, W @ x + b, y)) / len(problem.rows)
    size = float(sizes.max())
    return {"W": size * float(np.abs(problem.rows).mean(axis=0).max()), "b": size}


def _g(problem: Problem, s: Vector, y: Vector) -> Vector:
    """Return dl/ds; for a single score s, which stands for (-s/2, +s/2), one number."""
    if len(s) > 1:
        return problem.loss.by_example(s, y)[1]
    pair = problem.loss.by_example(np.array([-s[0] / 2, s[0] / 2]), y)[1]
    return np.array([(pair[1] - pair[0]) / 2])
