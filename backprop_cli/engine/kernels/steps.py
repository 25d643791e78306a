"""One thread's part of a run of mini-batch steps, and of evaluating examples.

The features are cut into blocks, and each thread has its own ones: it gathers them, multiplies
them by W, and later moves the same columns of W, so that its share of X and W stays in its cache.
The threads meet twice a mini-batch: when all blocks' parts of S are there, each turns its share
of the examples into losses and G; when G is there, each goes back to its blocks. Sums over blocks
are taken in the blocks' order: the same blocks give the same bits, whoever was first.

A large mini-batch is taken in pieces that fit the caches; W moves after the last of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from backprop_cli.engine.kernels.losses import multiclass_svm, softmax_cross_entropy
from backprop_cli.engine.kernels.memory import meet
from backprop_cli.engine.kernels.products import fetch, gather, gradient_rows, scores
from backprop_cli.engine.kernels.tile import ROWS

PIECE = 128
"""The most examples that are taken at once."""
SCORED = 32
"""The most examples that are evaluated at once."""
SVM, SOFTMAX = 0, 1


class Examples(NamedTuple):
    """Where examples come from.

    ``features`` N x d, ``labels`` N; ``mean``, blocks x a block's width, and ``scale``, d, of the
    standardization (x - mean) scale; ``image_width`` for mirroring.
    """

    features: Any
    labels: Any
    mean: Any
    scale: Any
    image_width: int


class Models(NamedTuple):
    """M models of C classes, K = M C rows.

    W, its gradient and its velocity (or nothing) are K x d, those of b K numbers. W and its
    velocity have the examples' scale folded into them: where s is the scale, W s stands for W, and
    moves by s^2 times its gradient. ``kinds``, ``smoothing``, ``two_l2``, ``rho`` and ``ahead``
    have a number a model, ``class_weights`` one a class, or none.
    """

    W: Any
    dW: Any
    velocity_W: Any
    b: Any
    db: Any
    velocity_b: Any
    kinds: Any
    smoothing: Any
    class_weights: Any
    two_l2: Any
    rho: Any
    ahead: Any


class Work(NamedTuple):
    """Room for what is between.

    ``x`` blocks x PIECE x a block's width, ``places`` 0 to PIECE, ``parts`` of S blocks x PIECE x
    K, ``G`` PIECE x K, ``tiles`` threads x ROWS x a block's width, ``sums`` threads x M losses;
    widths and K padded to whole tiles. ``counter`` is where the threads meet.
    """

    x: Any
    places: Any
    parts: Any
    G: Any
    tiles: Any
    sums: Any
    counter: Any


@njit(nogil=True, _nrt=False, cache=True)
def train(
    thread: int,
    threads: int,
    examples: Examples,
    models: Models,
    work: Work,
    width: int,
    rows: Any,
    mirrored: Any,
    rates: Any,
    batch: int,
    largest: Any,
    losses: Any,
) -> int:
    """Make a step a mini-batch of ``batch`` rows; return how many were made.

    Fewer than there are, if a model's loss is NaN or above ``largest`` (a number a model): that
    step's losses are there, and nothing has moved in it. ``rates`` has a row of M a step,
    ``losses`` gets the same.
    """
    d = examples.features.shape[1]
    blocks, M = len(work.x), len(models.kinds)
    met = 0
    for step in range(len(rates)):
        start, end = step * batch, min((step + 1) * batch, len(rows))
        n = end - start
        pieces = (n + PIECE - 1) // PIECE
        for piece in range(pieces):
            first, last = start + piece * n // pieces, start + (piece + 1) * n // pieces
            own = rows[first:last]
            ahead = rows[last : min(2 * last - first, len(rows))]
            flags = mirrored[first:last]
            for block in range(thread, blocks, threads):
                low, high = block * width, min((block + 1) * width, d)
                x, mean = work.x[block], examples.mean[block]
                gather(examples.features, own, flags, examples.image_width, low, high, x)
                fetch(examples.features, ahead, low, high)
                scores(
                    x, work.places[: last - first], 0, mean, models.W, low, high, work.parts[block]
                )
            met += threads
            meet(work.counter, met)
            if piece == 0:  # only now has every thread read the last step's sums
                for m in range(M):
                    work.sums[thread, m] = 0
            share, rest = divmod(last - first, threads)
            mine = thread * share + min(thread, rest)
            for i in range(mine, mine + share + (thread < rest)):
                _losses(examples.labels[own[i]], i, np.float32(n), models, work, work.sums[thread])
            met += threads
            meet(work.counter, met)
            if piece == pieces - 1:
                going = True
                for m in range(M):
                    total = 0.0
                    for other in range(threads):
                        total += work.sums[other, m]
                    if thread == 0:
                        losses[step, m] = total
                    going = going and total <= largest[m]
                if not going:
                    return step
            moves = piece == pieces - 1
            for block in range(thread, blocks, threads):
                low, high = block * width, min((block + 1) * width, d)
                _descend(
                    work.G, work.x[block], examples.mean[block], examples.scale, last - first,
                    low, high, work.tiles[thread], models, rates[step], piece > 0, moves,
                )  # fmt: skip
            if thread == 0:
                _descend_bias(work.G, last - first, models, rates[step], piece > 0, moves)
    return len(rates)


@njit(nogil=True, _nrt=False)
def _losses(label: int, i: int, n: float, models: Models, work: Work, sums: Any) -> None:
    """Turn the parts of one example's S into G / n, and add its losses / n to ``sums``."""
    M = len(models.kinds)
    K = len(models.W)
    C = K // M
    s = work.G[i]
    for k in range(K):
        s[k] = models.b[k]
    for block in range(len(work.parts)):
        part = work.parts[block, i]
        for k in range(K):
            s[k] += part[k]
    weight = np.float32(1)
    if len(models.class_weights) > 0:
        weight = models.class_weights[label]
    for m in range(M):
        own = s[m * C : (m + 1) * C]
        if models.kinds[m] == SOFTMAX:
            loss = softmax_cross_entropy(own, label, models.smoothing[m])
        else:
            loss = multiclass_svm(own, label)
        sums[m] += np.float64(loss) * np.float64(weight) / np.float64(n)
        for k in range(C):
            own[k] = own[k] * weight / n


@njit(nogil=True, _nrt=False, fastmath={"contract"})
def _descend(
    G: Any,
    x: Any,
    mean: Any,
    scale: Any,
    n: int,
    first: int,
    last: int,
    tile: Any,
    models: Models,
    rates: Any,
    more: bool,
    moves: bool,
) -> None:
    """Compute a block of dW = G X^T, on top of an earlier piece's if ``more``, and move W."""
    K, M = len(models.W), len(models.kinds)
    C = K // M
    m = last - first
    own_scale = scale[first:last]
    for c in range(0, K, ROWS):
        gradient_rows(G, x, mean, n, c, m, tile)
        for k in range(c, min(c + ROWS, K)):
            g, total, W = tile[k - c][:m], models.dW[k, first:last], models.W[k, first:last]
            if more:
                for j in range(m):
                    g[j] += total[j]
            if not moves:
                for j in range(m):
                    total[j] = g[j]
                continue
            model = k // C
            rate, decay, rho = rates[model], models.two_l2[model], models.rho[model]
            if len(models.velocity_W) == 0:
                for j in range(m):
                    W[j] -= rate * (g[j] * own_scale[j] * own_scale[j] + decay * W[j])
                continue
            V = models.velocity_W[k, first:last]
            gradient_share = np.float32(1 if models.ahead[model] else 0)
            velocity_share = rho if models.ahead[model] else np.float32(1)
            for j in range(m):
                step = g[j] * own_scale[j] * own_scale[j] + decay * W[j]
                V[j] = rho * V[j] + step
                W[j] -= rate * (gradient_share * step + velocity_share * V[j])


@njit(nogil=True, _nrt=False)
def _descend_bias(G: Any, n: int, models: Models, rates: Any, more: bool, moves: bool) -> None:
    """Move b likewise, whose gradient is G 1."""
    K, M = len(models.W), len(models.kinds)
    C = K // M
    db = models.db
    if not more:
        for k in range(K):
            db[k] = 0
    for i in range(n):
        for k in range(K):
            db[k] += G[i, k]
    if not moves:
        return
    for k in range(K):
        model = k // C
        g, rate, rho = db[k], rates[model], models.rho[model]
        if len(models.velocity_b) > 0:
            V = rho * models.velocity_b[k] + g
            models.velocity_b[k] = V
            g = g + rho * V if models.ahead[model] else V
        models.b[k] -= rate * g


@njit(nogil=True, _nrt=False, cache=True)
def evaluate(
    thread: int,
    threads: int,
    examples: Examples,
    models: Models,
    smoothing: Any,
    width: int,
    part: Any,
    S: Any,
    rows: Any,
    losses: Any,
    decisions: Any,
) -> None:
    """Compute losses and decisions, M x n, for one thread's share of ``rows``.

    ``smoothing`` has a number a model; ``part`` and ``S``, threads x SCORED x K, are room.
    """
    d = examples.features.shape[1]
    K, M = len(models.W), len(models.kinds)
    C = K // M
    part, S = part[thread], S[thread]
    start, end = thread * len(rows) // threads, (thread + 1) * len(rows) // threads
    for first in range(start, end, SCORED):
        own = rows[first : min(first + SCORED, end)]
        ahead = rows[min(first + SCORED, end) : min(first + 2 * SCORED, end)]
        for i in range(len(own)):
            for k in range(K):
                S[i, k] = models.b[k]
        for block in range(len(examples.mean)):
            low, high = block * width, min((block + 1) * width, d)
            fetch(examples.features, ahead, low, high)
            scores(examples.features, own, low, examples.mean[block], models.W, low, high, part)
            for i in range(len(own)):
                for k in range(K):
                    S[i, k] += part[i, k]
        for i in range(len(own)):
            for m in range(M):
                s = S[i, m * C : (m + 1) * C]
                decision = 0
                for k in range(1, C):
                    if s[k] > s[decision]:
                        decision = k
                decisions[m, first + i] = decision
                if models.kinds[m] == SOFTMAX:
                    loss = softmax_cross_entropy(s, examples.labels[own[i]], smoothing[m])
                else:
                    loss = multiclass_svm(s, examples.labels[own[i]])
                losses[m, first + i] = loss
