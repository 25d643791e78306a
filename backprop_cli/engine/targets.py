"""Labels to columns of Y."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from backprop_cli.engine.losses import Array


def target_table(n_classes: int, label_smoothing: Sequence[float], dtype: DTypeLike) -> Array:
    """Return the target vector of every label, for every model.

    Column k of table m is (1 - a_m) e_k + a_m / C, so that ``table[:, :, labels]`` is Y
    (M x C x n). Label smoothing as Szegedy et al. (2016) have it; a = 0 is the one-hot vector.

    Parameters
    ----------
    n_classes
        C.
    label_smoothing
        a, one number in [0, 1) a model.
    dtype
        float32 or float64.

    Returns
    -------
    NDArray
        M x C x C.
    """
    a = np.asarray(label_smoothing, dtype=np.float64)[:, None, None]
    table: Array = ((1.0 - a) * np.eye(n_classes) + a / n_classes).astype(dtype)
    return table
