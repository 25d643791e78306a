"""The complex step: derivatives of an analytic cost to the last digits, from its values alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.gradcheck.problem import Problem, class_scores
from backprop_cli.losses import Vector

_STEP = 1e-100  # nothing is subtracted, so that no step is too small


def complex_step(
    problem: Problem, parameter: str, coordinates: NDArray[np.intp]
) -> tuple[Vector, Vector]:
    """Return dJ/dtheta_k = Im J(theta + i h e_k) / h; Squire and Trapp, 1998. All certain."""
    W, b = problem.W.astype(complex), problem.b.astype(complex)
    theta = {"W": W, "b": b}[parameter].reshape(-1)
    width = W.shape[1] if parameter == "W" else 1
    X = problem.rows.T.astype(complex)
    S = W @ X + b[:, None]
    v = problem.example_weights / len(problem.rows)
    derivatives = np.empty(len(coordinates))
    for k, at in enumerate(coordinates):
        row = at // width  # the only row of S that this coordinate moves
        start, before = theta[at], S[row].copy()
        theta[at] = start + 1j * _STEP
        S[row] = W[row] @ X + b[row]
        J = v @ problem.loss.values(class_scores(S), problem.Y) + problem.l2 * (
            W[row] @ W[row]
        )  # other rows of W are real
        derivatives[k] = J.imag / _STEP
        theta[at], S[row] = start, before
    return derivatives, np.zeros(len(coordinates))
