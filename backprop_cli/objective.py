"""The cost J = L + lambda sum W_ij^2: here sums are divided by n, and the penalty is added.

No engine does it, except in fused steps, which never come here; tests hold those to this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Sums
from backprop_cli.losses import Array


class Objective:
    """What sums over examples are made into: the mean loss, the cost, and the cost's gradient.

        L = 1/n sum_i v_i l_i            dL/dW = 1/n G X^T           dL/db = 1/n G 1
        J = L + lambda sum W_ij^2        dJ/dW = dL/dW + 2 lambda W

    Parameters
    ----------
    l2
        lambda of each model, M numbers of W's dtype.
    """

    def __init__(self, l2: Array) -> None:
        self.l2 = l2
        self._two_l2 = 2.0 * l2[:, None, None]
        self._penalized = bool(np.any(l2 > 0))

    def loss(self, sums: Sums) -> NDArray[np.float64]:
        """Return L of each model, M."""
        return sums.loss / sums.n

    def penalty(self, W: Array) -> NDArray[np.float64]:
        """Return lambda sum W_ij^2 of each model, M."""
        squares = np.einsum("mcd,mcd->m", W, W, dtype=np.float64)
        return np.asarray(self.l2 * squares, dtype=np.float64)

    def gradient(self, sums: Sums, W: Array, models: slice = slice(None)) -> tuple[Array, Array]:
        """Return dJ/dW and dJ/db, M x O x d and M x O, in the memory of the sums.

        Sums and W may be those of some models, and of some of their outputs.
        """
        dW, db = sums.dW, sums.db
        dW *= dW.dtype.type(1 / sums.n)  # a product takes a third of a division's time
        db /= sums.n
        if self._penalized:
            dW += self._two_l2[models] * W
        return dW, db
