"""One thread's part of mini-batches: the gradient of one, or a run of descent steps.

The features are cut into blocks, and each thread has its own ones: it gathers them, multiplies them
by W, and later moves the same columns of W, so its share of X and W stays in its cache. The threads
meet twice per mini-batch: when all blocks' parts of S are there, each thread turns its share of the
examples into losses and G; when G is there, each goes back to its blocks. Sums over blocks are
taken in the order of the blocks, so the same blocks give the same bits, whichever thread is faster.

A large mini-batch is taken in pieces that fit the caches; W moves after the last of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from backprop_cli.engine.kernels.descent import add_or_descend, add_or_descend_bias
from backprop_cli.engine.kernels.losses import loss_gradient
from backprop_cli.engine.kernels.memory import meet
from backprop_cli.engine.kernels.products import fetch, gather, scores, scores_by_blas
from backprop_cli.engine.kernels.structures import Examples, Models, Work
from backprop_cli.engine.kernels.tile import ROWS


@njit(nogil=True, _nrt=False, forceinline=True)
def descend(
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
    max_losses: Any,
    losses: Any,
    right: Any,
) -> int:
    """Make a step per mini-batch of ``batch`` rows; return how many were made.

    Fewer than there are, if a model's mean loss is NaN or above its number in ``max_losses``: that
    step's losses are there, and nothing has moved in it. ``rates`` has a row of M per step,
    ``losses`` gets the same, and so does ``right``, unless its rows are empty.
    """
    met = 0
    for step in range(len(rates)):
        start, end = step * batch, min((step + 1) * batch, len(rows))
        pieces = -((start - end) // len(work.places))
        stopped = _mini_batch(
            thread, threads, met, examples, models, work, width, rows, mirrored, start, end,
            np.float32(end - start), True, rates[step], max_losses, losses[step], right[step],
        )  # fmt: skip
        if stopped:
            return step
        met += 2 * threads * pieces
    return len(rates)


@njit(nogil=True, _nrt=False, forceinline=True)
def sums(
    thread: int,
    threads: int,
    examples: Examples,
    models: Models,
    work: Work,
    width: int,
    rows: Any,
    mirrored: Any,
    no_limits: Any,
    losses: Any,
    right: Any,
) -> None:
    """Sum losses and gradients over one mini-batch, into ``losses``, ``dW`` and ``db``.

    The gradient is that by the scaled W. Nothing is divided, and nothing moves. ``right`` is empty,
    or gets how many decisions are right.
    """
    if len(rows) > 0:
        _mini_batch(
            thread, threads, 0, examples, models, work, width, rows, mirrored, 0, len(rows),
            np.float32(1), False, models.two_l2, no_limits, losses, right,
        )  # fmt: skip


@njit(nogil=True, _nrt=False, forceinline=True)
def _mini_batch(
    thread: int,
    threads: int,
    met: int,
    examples: Examples,
    models: Models,
    work: Work,
    width: int,
    rows: Any,
    mirrored: Any,
    start: int,
    end: int,
    divisor: float,
    moving: bool,
    rates: Any,
    max_losses: Any,
    losses: Any,
    right: Any,
) -> bool:
    """Take examples start to end; return whether nothing moved: a loss ran away, or a thread.

    Losses and G are divided by ``divisor``: n for the mean of a descent step, 1 for sums.
    """
    d = examples.d
    blocks, M, n = len(work.x), len(models.kinds), end - start
    pieces = -(-n // len(work.places))
    for piece in range(pieces):
        first, last = start + piece * n // pieces, start + (piece + 1) * n // pieces
        own = rows[first:last]
        following = rows[last : min(2 * last - first, len(rows))]
        flags = mirrored[first:last]
        for block in range(thread, blocks, threads):
            low, high = block * width, min((block + 1) * width, d)
            x, by_blas = work.x[block], work.product != 0
            # Threads begin at different examples: in a mapped file, two at the same one would both
            # bring its page near.
            turn = thread * len(own) // threads
            gather(examples, own[turn:], flags[turn:], block, low, high, by_blas, x[turn:])
            gather(examples, own[:turn], flags[:turn], block, low, high, by_blas, x)
            if by_blas:
                fetch(examples, following, low, high)
                scores_by_blas(
                    work.product, x, last - first, models.W, low, high, 0.0, work.parts[block]
                )
            else:
                scores(
                    work.flat[block], work.places[: last - first], 0, examples.mean[block],
                    models.W, low, high, work.tiles[thread], work.parts[block], examples,
                    following,
                )  # fmt: skip
        met += threads
        meet(work.counter, met)
        if piece == 0:  # only now has every thread read the last step's sums
            for m in range(M):
                work.sums[thread, m] = 0
                work.right[thread, m] = 0
        share, rest = divmod(last - first, threads)
        mine = thread * share + min(thread, rest)
        end_of_mine = mine + share + (thread < rest)
        _add_parts(work.parts, mine, end_of_mine)
        _losses(
            examples, own, mine, end_of_mine, divisor, models, work, work.sums[thread],
            work.right[thread, : len(right)], work.db[thread],
        )  # fmt: skip
        met += threads
        if not meet(work.counter, met):
            return True
        final = piece == pieces - 1
        if final:
            going = True
            for m in range(M):
                total, n_right = 0.0, 0
                for other in range(threads):
                    total += work.sums[other, m]
                    n_right += work.right[other, m]
                if thread == 0:
                    losses[m] = total
                    if len(right) > 0:
                        right[m] = n_right
                going = going and total <= max_losses[m]
            if moving and not going:
                return True
        for block in range(thread, blocks, threads):
            low, high = block * width, min((block + 1) * width, d)
            add_or_descend(
                work.product, work.G, work.x[block], examples.mean[block], last - first,
                low, high, work.tiles[thread], models, rates, piece > 0, moving and final,
            )  # fmt: skip
        add_or_descend_bias(
            work.db, work.ones, thread, threads, models, rates, piece > 0, moving and final
        )
    return False


@njit(nogil=True, _nrt=False, forceinline=True)
def _add_parts(parts: Any, first: int, last: int) -> None:
    """Add the other blocks' parts of W x to the first block's, in the order of the blocks."""
    total = parts[0, first:last].reshape(-1)
    for block in range(1, len(parts)):
        part = parts[block, first:last].reshape(-1)
        for k in range(len(total)):
            total[k] += part[k]


@njit(nogil=True, _nrt=False, forceinline=True)
def _losses(
    examples: Examples,
    rows: Any,
    first: int,
    last: int,
    divisor: float,
    models: Models,
    work: Work,
    total: Any,
    right: Any,
    db: Any,
) -> None:
    """Turn W x of examples first to last into G / divisor; add losses / divisor to ``total``.

    Both times the examples' weights. Right decisions are counted in ``right``, unless that is
    empty; ``db`` becomes the sum of G / divisor over these examples.
    """
    M = len(models.kinds)
    K = len(models.W)
    C, R = K // M, work.G.shape[2]
    db[:] = 0
    for i in range(first, last):
        label, weight = examples.labels[rows[i]], np.float32(1)
        if len(models.class_weights) > 0:
            weight = models.class_weights[label]
        if len(examples.weights) > 0:
            weight *= np.float32(examples.weights[rows[i]])
        s = work.parts[0, i]
        for k in range(K):  # s = W x + b
            s[k] += models.b[k]
        for m in range(M):
            own = s[m * C : (m + 1) * C]
            if len(right) > 0:
                right[m] += _decides(own, label)
            loss = loss_gradient(models.kinds[m], own, label, models.smoothing[m])
            total[m] += np.float64(loss) * np.float64(weight) / np.float64(divisor)
        factor = weight / divisor
        for k in range(K):
            s[k] *= factor
            db[k] += s[k]
        if R == ROWS:
            _into_groups(work.G, i, s, ROWS)  # how many is known to the compiler
        else:
            _into_groups(work.G, i, s, R)


@njit(nogil=True, _nrt=False, forceinline=True)
def _into_groups(G: Any, i: int, s: Any, R: int) -> None:
    """Copy an example's row of K numbers into G, R of them per group."""
    for group in range(len(G)):
        g, part = G[group, i], s[group * R : (group + 1) * R]
        for t in range(R):
            g[t] = part[t]


@njit(nogil=True, _nrt=False, forceinline=True)
def _decides(s: Any, label: int) -> bool:
    """Say whether the largest of some scores, of equal ones the first, is the label's."""
    larger = 0
    for k in range(label):
        larger += s[k] >= s[label]
    for k in range(label + 1, len(s)):
        larger += s[k] > s[label]
    return larger == 0
