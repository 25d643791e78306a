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
from typing import Any

import numpy as np

from backprop_cli.losses import Array

_MAX_PRODUCTS = 1_000_000  # of two numbers each, in a block
_MAX_SCORES = 1200  # n K, where the scores are computed in blocks
_MAX_ROWS = 16  # K, measured: beyond, the whole product on two cores is faster
_MIN_WIDTH = 64  # features of a block
_SMALL_KERNELS = {"SkylakeX", "Cooperlake", "SapphireRapids"}


class Products:
    """The products for K rows of W, n examples and d features.

    Parameters
    ----------
    K, n, d
        Sizes.
    dtype
        Of all matrices.
    """

    def __init__(self, K: int, n: int, d: int, dtype: np.dtype[Any]) -> None:
        self.q = n_blocks(K, n, d, dtype)
        self._scores_in_blocks = self.q > 1 and n * K <= _MAX_SCORES
        self._parts = np.empty((self.q * self._scores_in_blocks, n, K), dtype)

    def scores(self, rows: Array, W: Array, out: Array) -> Array:
        """Return X^T W^T, n x K, in ``out``; ``rows`` is X^T, n x d, and W is K x d."""
        # X^T W^T, not W X: the BLAS does a thin product this way round twice as fast.
        if self._scores_in_blocks:
            W_blocks = W.reshape(len(W), self.q, -1).transpose(1, 2, 0)
            np.matmul(self._in_blocks(rows), W_blocks, out=self._parts)
            return np.sum(self._parts, axis=0, out=out)
        return np.matmul(rows, W.T, out=out)

    def gradient(self, G: Array, rows: Array, out: Array) -> Array:
        """Return G X^T, K x d, in ``out``; G is K x n."""
        if self.q > 1:
            blocks = out.reshape(len(G), self.q, -1).transpose(1, 0, 2)
            np.matmul(G, self._in_blocks(rows), out=blocks)
            return out
        return np.matmul(G, rows, out=out)

    def _in_blocks(self, rows: Array) -> Array:
        """Return X^T as a stack of blocks of features."""
        return rows.reshape(len(rows), self.q, -1).transpose(1, 0, 2)


def n_blocks(K: int, n: int, d: int, dtype: np.dtype[Any]) -> int:
    """Return the number of equal blocks into which to cut the features."""
    thin = K <= _MAX_ROWS and dtype == np.float32
    if not thin or n * K * d <= _MAX_PRODUCTS or not has_small_kernels():
        return 1
    fewest = math.ceil(n * K * d / _MAX_PRODUCTS)
    return next((q for q in range(fewest, d // _MIN_WIDTH + 1) if d % q == 0), 1)


@functools.cache
def has_small_kernels() -> bool:
    """Say whether the BLAS reads small matrices where they are."""
    from threadpoolctl import threadpool_info

    return any(library.get("architecture") in _SMALL_KERNELS for library in threadpool_info())
