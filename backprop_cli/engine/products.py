"""The two products of a step, X^T W^T and G X^T, by the BLAS, in blocks of features if that pays.

For a small product, OpenBLAS on processors with AVX-512 has kernels that read the matrices where
they are; for a larger one it first copies both into another order, which takes as long as the
product itself where one side has ten rows. So a thin product is cut into blocks of features that
are small enough, on one core a match for the whole product on two. Its condition for the small
kernels (``kernel/x86_64/sgemm_small_kernel_permit_skylakex.c``) is what is kept here.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from backprop_cli.engine.losses import Array

_MOST_PRODUCTS = 1_000_000  # of two numbers each, in a block
_MOST_SCORES = 1200  # n K, where the scores are computed
_MOST_ROWS = 16  # K, measured: beyond, the whole product on two cores is faster
_LEAST_WIDTH = 64  # features of a block
_SMALL_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}


class ThinProducts:
    """The products for K rows of W, n examples and d features.

    Parameters
    ----------
    W, dW
        Weights and their gradient, K x d, contiguous; read, and written to.
    n
        Examples.
    """

    def __init__(self, W: Array, dW: Array, n: int) -> None:
        (K, _), self._n, self._blocks = W.shape, n, _blocks(n, W)
        q = self._blocks
        self._W_T, self._dW = W.T, dW
        # The blocks come first: a stack of small products.
        self._W_blocks = W.reshape(K, q, -1).transpose(1, 2, 0)
        self._dW_blocks = dW.reshape(K, q, -1).transpose(1, 0, 2)
        self._scores_in_blocks = q > 1 and n * K <= _MOST_SCORES
        self._parts = np.empty((q * self._scores_in_blocks, n, K), W.dtype)

    def scores(self, rows: Array, out: Array) -> Array:
        """Return X^T W^T, n x K, in ``out``; ``rows`` is X^T."""
        # X^T W^T, not W X: the BLAS does a thin product this way round twice as fast.
        if self._scores_in_blocks:
            np.matmul(self._in_blocks(rows), self._W_blocks, out=self._parts)
            return np.sum(self._parts, axis=0, out=out)
        return np.matmul(rows, self._W_T, out=out)

    def gradient(self, G: Array, rows: Array) -> None:
        """Write G X^T into dW; G is K x n."""
        if self._blocks > 1:
            np.matmul(G, self._in_blocks(rows), out=self._dW_blocks)
        else:
            np.matmul(G, rows, out=self._dW)

    def _in_blocks(self, rows: Array) -> Array:
        return rows.reshape(self._n, self._blocks, -1).transpose(1, 0, 2)


def _blocks(n: int, W: Array) -> int:
    """Return into how many equal blocks to cut the features."""
    K, d = W.shape
    thin = K <= _MOST_ROWS and W.dtype == np.float32
    if not thin or n * K * d <= _MOST_PRODUCTS or not _has_small_kernels():
        return 1
    fewest = math.ceil(n * K * d / _MOST_PRODUCTS)
    return next((q for q in range(fewest, d // _LEAST_WIDTH + 1) if d % q == 0), 1)


@functools.cache
def _has_small_kernels() -> bool:
    from threadpoolctl import threadpool_info

    return any(library.get("architecture") in _SMALL_KERNELS for library in threadpool_info())
