"""Derivatives by centred differences, from values of the cost alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.gradcheck.problem import Problem, class_scores
from backprop_cli.losses import Vector

# Steps, in units of the scores. The error of the five-point formula is h^4 f^(5) / 30 from
# truncation and about 1e-16 / h from rounding. A loss in pieces has no truncation error where they
# are linear or quadratic, and a small step meets few of its kinks.
_STEP_SMOOTH, _STEP_IN_PIECES = 1e-3, 1e-5
_WEIGHTS = {-2: 1 / 12, -1: -8 / 12, 1: 8 / 12, 2: -1 / 12}


def centred_differences(
    problem: Problem, parameter: str, coordinates: NDArray[np.intp]
) -> tuple[Vector, Vector]:
    """Return dJ/dtheta_k for some coordinates of one parameter.

    f'(0) = (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h, the losses of each example differenced
    before they are added, so that large losses of other examples cost no digits. h is scaled by
    the feature that the coordinate multiplies.

    Parameters
    ----------
    problem
        The cost.
    parameter
        W or b.
    coordinates
        k positions in the flattened parameter.

    Returns
    -------
    derivatives
        k numbers.
    uncertainty
        k numbers: how far rounding may have moved the derivative; infinity where the loss has a
        kink within 2h of the point.
    """
    loss, Y = problem.loss, problem.Y
    W, b = problem.W.copy(), problem.b.copy()
    theta = {"W": W, "b": b}[parameter].reshape(-1)
    width = W.shape[1] if parameter == "W" else 1
    X = problem.rows.T
    S = W @ X + b[:, None]
    v = problem.example_weights / len(problem.rows)
    derivatives, uncertainty = np.zeros(len(coordinates)), np.zeros(len(coordinates))
    reach = np.abs(problem.rows).max(axis=0)
    for k, at in enumerate(coordinates):
        row = at // width  # the only row of S that this coordinate moves
        scale = float(reach[at % width]) if parameter == "W" else 1.0
        h = (_STEP_SMOOTH if loss.smooth else _STEP_IN_PIECES) / (scale or 1.0)
        start, before = theta[at], S[row].copy()
        sides: list[NDArray[np.bool_]] = []
        penalties, differences = 0.0, np.zeros(len(problem.rows))
        for multiple, weight in _WEIGHTS.items():
            theta[at] = start + multiple * h
            S[row] = W[row] @ X + b[row]
            scores = class_scores(S)
            if loss.kinks is not None:
                sides.append(loss.kinks(scores, Y) > 0)
            differences += weight * loss.values(scores, Y)
            penalties += weight * problem.l2 * float(theta[at] ** 2 - start**2)
        theta[at], S[row] = start, before
        derivatives[k] = float(v @ differences) / h
        if parameter == "W":
            derivatives[k] += penalties / h
        # Scores, losses and theta + h have 16 digits; the mean evens some of that out.
        size = float(np.abs(S).max() + np.abs(loss.values(class_scores(S), Y)).max())
        moved = size / np.sqrt(len(problem.rows)) + abs(start * derivatives[k])
        crossed = any((side != sides[0]).any() for side in sides[1:])
        uncertainty[k] = np.inf if crossed else np.finfo(float).eps * moved / h
    return derivatives, uncertainty
