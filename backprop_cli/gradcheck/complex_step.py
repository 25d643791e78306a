"""The complex step: derivatives of an analytic cost to the last digits, from its values alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.problem import Problem, Vector

_STEP = 1e-100  # nothing is subtracted, so that no step is too small


def complex_step(
    problem: Problem, parameter: str, coordinates: NDArray[np.intp]
) -> tuple[Vector, NDArray[np.bool_]]:
    """Return dJ/dtheta_k = Im J(theta + i h e_k) / h; Squire and Trapp, 1998. None is set apart."""
    theta = {name: value.astype(complex) for name, value in problem.parameters.items()}
    entries = theta[parameter].reshape(-1)
    derivatives = np.empty(len(coordinates))
    for k, at in enumerate(coordinates):
        entries[at] += 1j * _STEP
        derivatives[k] = _cost(problem, theta["W"], theta["b"]).imag / _STEP
        entries[at] = entries[at].real
    return derivatives, np.zeros(len(coordinates), bool)


def _cost(problem: Problem, W: NDArray[Any], b: NDArray[Any]) -> complex:
    """Return J for complex W and b, by the definition of softmax cross-entropy."""
    S = W @ problem.rows.T + b[:, None]
    if len(S) == 1:
        S = np.concatenate([-S / 2, S / 2])
    S = S - S.real.max(axis=0)
    losses = np.log(np.exp(S).sum(axis=0)) - (problem.Y * S).sum(axis=0)
    return complex(problem.example_weights @ losses / losses.size + problem.l2 * (W * W).sum())
