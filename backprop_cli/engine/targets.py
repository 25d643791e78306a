"""Labels to columns of Y."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine.losses import Array


def fill_targets(labels: NDArray[np.int64], label_smoothing: Array, out: Array) -> Array:
    """Write the targets of n labels: a label y becomes (1 - a) e_y + a / C.

    Label smoothing as Szegedy et al. (2016) have it; a = 0 is the one-hot vector.

    Parameters
    ----------
    labels
        n class numbers.
    label_smoothing
        a, one number in [0, 1) a model, M.
    out
        Y, M x C x n; returned.
    """
    a = label_smoothing[:, None]
    out[...] = (a / out.shape[1])[:, None]
    out[:, labels, np.arange(len(labels))] += 1 - a
    return out
