"""The gradient dW = G X^T of a block of features, and the update that follows it at once.

    V <- rho V + dJ/dW
    W <- W - eta V                    or, after Nesterov,    W <- W - eta (dJ/dW + rho V)

with dJ/dW = dL/dW + 2 lambda W. The update is the same function for W and for b. Only where there
is neither momentum nor l2, the BLAS adds - eta dL/dW to W itself. (With l2 it would multiply W by
1 - 2 eta lambda, which float32 rounds to 1 where it is near 1.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from backprop_cli.engine.kernels.products import gradient_rows
from backprop_cli.engine.kernels.sgemm import transposed_times
from backprop_cli.engine.kernels.structures import CHUNK_BYTES, Models
from backprop_cli.engine.kernels.tile import COLUMNS


def _update(
    theta: Any,
    velocity: Any,
    g: Any,
    scale: Any,
    decay: Any,
    rate: Any,
    rho: Any,
    ahead: Any,
) -> None:
    """Move parameters against g scale^2 + decay theta; an empty ``velocity``: no momentum."""
    if len(velocity) == 0:
        for j in range(len(theta)):
            theta[j] -= rate * (g[j] * scale[j] * scale[j] + decay * theta[j])
        return
    gradient_share = np.float32(1 if ahead else 0)
    velocity_share = rho if ahead else np.float32(1)
    for j in range(len(theta)):
        step = g[j] * scale[j] * scale[j] + decay * theta[j]
        velocity[j] = rho * velocity[j] + step
        theta[j] -= rate * (gradient_share * step + velocity_share * velocity[j])


_update_weights = njit(nogil=True, _nrt=False, forceinline=True, fastmath={"contract"})(_update)
_update_bias = njit(nogil=True, _nrt=False, forceinline=True)(_update)


@njit(nogil=True, _nrt=False, forceinline=True, fastmath={"contract"})
def add_or_descend(
    product: int,
    G: Any,
    x: Any,
    mean: Any,
    n: int,
    first: int,
    last: int,
    tile: Any,
    models: Models,
    rates: Any,
    more: bool,
    moves: bool,
) -> None:
    """Compute a block of dW, on top of an earlier piece's if ``more``; then keep it, or move W."""
    K, M, R = len(models.W), len(models.kinds), G.shape[2]
    C = K // M
    strip = last - first  # the BLAS cuts it by itself
    plain = len(models.velocity_W) == 0
    for m in range(M):
        plain = plain and models.two_l2[m] == 0
    alone = M == 1 or C % R == 0  # rows that are made at once are of one model
    if product != 0 and moves and not more and plain and alone:
        for group in range(len(G)):  # W moves as the product is added to it: dW is not stored
            W = models.W[group * R : (group + 1) * R, first:last]
            transposed_times(product, -rates[group * R // C], G[group, :n, : len(W)], x[:n], 1.0, W)
        return
    if product == 0:
        strip = max(1, CHUNK_BYTES // (n * x.itemsize * COLUMNS)) * COLUMNS
    for low in range(first, last, strip):
        high = min(low + strip, last)
        m, own_scale = high - low, models.scale[low:high]
        for group in range(len(G)):
            gradient_rows(product, G[group], x, mean, n, low - first, high - first, tile)
            for k in range(group * R, min((group + 1) * R, K)):
                g, W = tile[k - group * R][:m], models.W[k, low:high]
                total = models.dW[k, low:high]
                if more:
                    for j in range(m):
                        g[j] += total[j]
                if not moves:
                    for j in range(m):
                        total[j] = g[j]
                    continue
                model = k // C
                V = W[:0]
                if len(models.velocity_W) > 0:
                    V = models.velocity_W[k, low:high]
                _update_weights(
                    W, V, g, own_scale, models.two_l2[model],
                    rates[model], models.rho[model], models.ahead[model],
                )  # fmt: skip


@njit(nogil=True, _nrt=False, forceinline=True)
def add_or_descend_bias(
    sums: Any,
    ones: Any,
    thread: int,
    threads: int,
    models: Models,
    rates: Any,
    more: bool,
    moves: bool,
) -> None:
    """Add the threads' sums of G to db = G 1, for this thread's share of the classes.

    Then keep db, or move b, without penalty. ``sums`` has a row of K per thread; ``ones`` are K.
    """
    K, M = len(models.W), len(models.kinds)
    C = K // M
    first, last = thread * K // threads, (thread + 1) * K // threads
    if not more:
        models.db[first:last] = 0
    for other in range(threads):
        for k in range(first, last):
            models.db[k] += sums[other, k]
    if not moves:
        return
    for m in range(M):
        own = slice(max(first, m * C), min(last, (m + 1) * C))
        if own.start >= own.stop:
            continue
        V = models.b[:0]
        if len(models.velocity_b) > 0:
            V = models.velocity_b[own]
        _update_bias(
            models.b[own], V, models.db[own], ones[own], np.float32(0), rates[m], models.rho[m],
            models.ahead[m],
        )  # fmt: skip
