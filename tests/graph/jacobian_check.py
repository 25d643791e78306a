"""Compares an operation's Jacobians with differences of its value."""

from __future__ import annotations

import numpy as np

from backprop_cli.graph import Operation, as_array

DIFFERENCE_STEP = 1e-5  # the error of a centred difference is then about 1e-10
COMPLEX_STEP = 1e-100  # no subtraction, hence no rounding
DIFFERENCE_TOLERANCE = 1e-8
COMPLEX_TOLERANCE = 1e-13


def worst_error(
    operation: Operation, values: list[np.ndarray], position: int, method: str
) -> float:
    """Return the largest difference from a numeric Jacobian, relative to its largest entry."""
    u = np.asarray(operation.value(*values))
    jacobian = as_array(operation.jacobian(position, u, values))
    numeric = _numeric_jacobian(operation, values, position, method)
    assert jacobian.shape == numeric.shape == (u.size, values[position].size)
    return float(np.abs(jacobian - numeric).max() / np.abs(numeric).max())


def is_right(operation: Operation, values: list[np.ndarray], position: int) -> bool:
    """Tell whether the Jacobian by one parent agrees with every numeric one there is."""
    right = worst_error(operation, values, position, "difference") < DIFFERENCE_TOLERANCE
    if operation.analytic:
        right &= worst_error(operation, values, position, "complex") < COMPLEX_TOLERANCE
    return right


def _numeric_jacobian(
    operation: Operation, values: list[np.ndarray], position: int, method: str
) -> np.ndarray:
    def value_at(entry: int, change: complex) -> np.ndarray:
        moved = values[position].astype(type(change))
        moved.ravel()[entry] += change
        return np.ravel(operation.value(*values[:position], moved, *values[position + 1 :]))

    columns = []
    for entry in range(values[position].size):
        if method == "complex":
            columns.append(value_at(entry, 1j * COMPLEX_STEP).imag / COMPLEX_STEP)
        else:
            h = DIFFERENCE_STEP
            columns.append((value_at(entry, h) - value_at(entry, -h)) / (2 * h))
    return np.stack(columns, axis=1)
