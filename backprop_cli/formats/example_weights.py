"""A factor per training example on its loss, from a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.formats.columns import as_column, as_number, read_values

_MIN, _MAX = 1e-30, 1e30  # within the range of float32


def read_example_weights(path: str, n_examples: int) -> NDArray[np.float64]:
    """Read a weight per training example from an .npy or a .txt.

    Raises
    ------
    DataError
        A weight is negative, not finite, or outside the range of float32; or their number is
        another one than that of the examples.
    """
    column = as_column(read_values(path), path)
    numbers = []
    for code, value in enumerate(column.distinct):
        number = as_number(value) if isinstance(value, str) else float(value)
        if number is None or not (number == 0 or _MIN <= number <= _MAX):
            raise column.refusal(code, f"expected a weight: 0, or a number from {_MIN} to {_MAX}")
        numbers.append(number)
    if len(column) != n_examples:
        raise DataError(f"{path}: {len(column)} weights for {n_examples} training examples")
    return np.array(numbers, np.float64)[column.codes]
