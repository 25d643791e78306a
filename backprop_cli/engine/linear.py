"""Losses and gradients of M stacked linear classifiers on one mini-batch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine.losses import LOSSES, Array
from backprop_cli.engine.products import ThinProducts


@dataclass
class _Buffers:
    """Room for one mini-batch of n examples; contiguous, so that BLAS writes into it directly."""

    scores: Array  # M x O x n, O = C or 1
    class_scores: Array  # M x C x n; the same memory as `scores` where O = C
    scratch: Array  # M x C x n
    product: Array  # n x M O, within the memory of `scratch`
    column: Array  # M x 1 x n
    losses: Array  # M x 1 x n
    products: ThinProducts


class BatchEngine:
    """M linear classifiers, S = W X + b 1^T, with the gradient of J = L + lambda sum W_ij^2.

    With G = dl/dS, a column an example, and n examples::

        dJ/dW = G X^T / n + 2 lambda W        dJ/db = G 1 / n

    The M models are one matrix, (M O) x d, so that each pass is a single product. With one output
    (O = 1, two classes) a score s stands for the pair (-s/2, +s/2), and G for s is
    (G_1 - G_0) / 2.

    Parameters
    ----------
    W
        Weights, M x O x d, float32 or float64, contiguous. Shared with the caller: an update in
        place is seen here.
    b
        Bias, M x O.
    losses
        The loss of each model: M names of `LOSSES`.
    l2
        lambda of each model, M numbers.
    n_classes
        C; O is C, or 1 where C is 2.
    batch_size
        The most examples that one call may bring.
    folded
        (mean, 1 / std), d numbers each, if ``rows`` come as they are: the standardization is
        then folded into the parameters, W (x - mean) / std = (W / std) x - (W / std) mean.
    """

    def __init__(
        self,
        W: Array,
        b: Array,
        *,
        losses: Sequence[str],
        l2: Sequence[float],
        n_classes: int,
        batch_size: int,
        folded: tuple[Array, Array] | None = None,
    ) -> None:
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)
        self.losses = tuple(losses)
        self.n_models, self.n_outputs, self.n_features = W.shape
        self.n_classes = n_classes
        self.l2 = np.asarray(l2, dtype=W.dtype)
        self._two_l2 = 2.0 * self.l2[:, None, None]
        self._penalized = bool(np.any(self.l2 > 0))
        self.folded = folded
        # What the products are made with: W and b, or what the standardization makes of them.
        self._W_used, self._b_used = (W, b) if folded is None else (W.copy(), b.copy())
        self._term = np.empty_like(W) if self._penalized or folded is not None else W[:0]
        # Neighbours with the same loss are computed together.
        self._groups = []
        first = 0
        for name, group in itertools.groupby(losses):
            last = first + len(list(group))
            self._groups.append((LOSSES[name], slice(first, last)))
            first = last
        self._memory = np.empty((2, self.n_models * n_classes * batch_size), dtype=W.dtype)
        self._single = np.empty(self.n_models * batch_size * (self.n_outputs == 1), dtype=W.dtype)
        self._columns = np.empty((2, self.n_models * batch_size), dtype=W.dtype)
        self._by_size: dict[int, _Buffers] = {}

    def scores(self, rows: Array) -> Array:
        """Return S = W X + b 1^T, M x O x n, for ``rows`` (n x d, X transposed).

        The result is overwritten by the next call.
        """
        buffers = self._buffers(len(rows))
        if self.folded is not None:
            mean, scale = self.folded
            np.multiply(self.W, scale, out=self._W_used)
            np.subtract(self.b, self._W_used @ mean, out=self._b_used)
        S = buffers.scores
        XW = buffers.products.scores(rows, buffers.product)
        np.add(XW.T.reshape(S.shape), self._b_used[:, :, None], out=S)
        return S

    def losses_of_scores(self, Y: Array) -> Array:
        """Return the loss of every example, M x n (without l2), from the scores just computed.

        Scores and result are overwritten by the next call.
        """
        return self._losses(self._by_size[Y.shape[2]], Y)

    def loss_gradient(
        self, rows: Array, Y: Array, example_weights: Array | None = None
    ) -> NDArray[np.float64]:
        """Compute the mean loss of a mini-batch, and its gradient into ``dW`` and ``db``.

        Parameters
        ----------
        rows
            n x d, one example a row, n at most ``batch_size``.
        Y
            Targets, M x C x n or 1 x C x n.
        example_weights
            v, n factors on the losses: L = sum_i v_i l_i / n. Default: all 1.

        Returns
        -------
        NDArray
            L for each model, M; without the l2 term, which ``dW`` has.
        """
        n = len(rows)
        buffers = self._buffers(n)
        self.scores(rows)
        losses = self._losses(buffers, Y)
        G = buffers.class_scores
        if example_weights is not None:
            losses *= example_weights
            G *= example_weights
        L: NDArray[np.float64] = losses.sum(axis=1, dtype=np.float64) / n
        if self.n_outputs == 1:
            G = np.subtract(G[:, 1:], G[:, :1], out=buffers.scores)
            G *= 0.5
        G /= n
        buffers.products.gradient(G.reshape(-1, n), rows)  # dW = G X^T / n
        np.sum(G, axis=2, out=self.db)  # G 1 / n
        if self.folded is not None:
            mean, scale = self.folded
            self.dW -= np.multiply(self.db[:, :, None], mean, out=self._term)
            self.dW *= scale
        if self._penalized:
            self.dW += np.multiply(self._two_l2, self.W, out=self._term)
        return L

    def penalty(self) -> NDArray[np.float64]:
        """Return lambda sum W_ij^2 for each model, M."""
        squares = np.einsum("mcd,mcd->m", self.W, self.W, dtype=np.float64)
        return np.asarray(self.l2 * squares, dtype=np.float64)

    def _losses(self, buffers: _Buffers, Y: Array) -> Array:
        if self.n_outputs == 1:
            np.multiply(buffers.scores, 0.5, out=buffers.class_scores[:, 1:])
            np.multiply(buffers.scores, -0.5, out=buffers.class_scores[:, :1])
        for loss, models in self._groups:
            loss(
                buffers.class_scores[models],
                Y if len(Y) == 1 else Y[models],
                buffers.scratch[models],
                buffers.column[models],
                buffers.losses[models],
            )
        return buffers.losses[:, 0]

    def _buffers(self, n: int) -> _Buffers:
        """Return views for n examples; there are two sizes in an epoch, so they are kept."""
        if n not in self._by_size:
            M, C = self.n_models, self.n_classes
            class_scores, scratch = self._memory[:, : M * C * n].reshape(2, M, C, n)
            column, losses = self._columns[:, : M * n].reshape(2, M, 1, n)
            scores = class_scores
            if self.n_outputs == 1:
                scores = self._single[: M * n].reshape(M, 1, n)
            K, d = M * self.n_outputs, self.n_features
            product = self._memory[1, : K * n].reshape(n, K)
            products = ThinProducts(self._W_used.reshape(K, d), self.dW.reshape(K, d), n)
            self._by_size[n] = _Buffers(
                scores, class_scores, scratch, product, column, losses, products
            )
        return self._by_size[n]
