"""One thread's part of evaluating examples: their losses and decisions."""

from __future__ import annotations

from typing import Any

from numba import njit

from backprop_cli.engine.kernels.losses import loss_gradient
from backprop_cli.engine.kernels.products import fetch, gather, place, scores, scores_by_blas
from backprop_cli.engine.kernels.structures import Examples, Models, Work


@njit(nogil=True, _nrt=False, forceinline=True)
def evaluate(
    thread: int,
    threads: int,
    examples: Examples,
    models: Models,
    smoothing: Any,
    work: Work,
    width: int,
    part: Any,
    S: Any,
    places: Any,
    rows: Any,
    losses: Any,
    decisions: Any,
) -> None:
    """Compute losses and decisions, M x n, for one thread's share of ``rows``.

    ``smoothing`` has a number per model; ``part`` and ``S``, threads x n x K, and ``places``,
    threads x n integers, are scratch memory for n examples, as many as are evaluated at once; the
    BLAS needs no ``part``.
    """
    d = examples.d
    K, M = len(models.W), len(models.kinds)
    C = K // M
    part, S, places, x = part[thread], S[thread], places[thread], work.x[thread]
    not_mirrored = rows[:0]
    start, end = thread * len(rows) // threads, (thread + 1) * len(rows) // threads
    at_once = len(places)
    for first in range(start, end, at_once):
        own = rows[first : min(first + at_once, end)]
        following = rows[min(first + at_once, end) : min(first + 2 * at_once, end)]
        for i in range(len(own)):
            places[i] = place(examples, own[i])
            for k in range(K):
                S[i, k] = models.b[k]
        for block in range(len(examples.mean)):
            low, high = block * width, min((block + 1) * width, d)
            if work.product != 0:
                fetch(examples, following, low, high)
                gather(examples, own, not_mirrored, block, low, high, True, x)
                scores_by_blas(work.product, x, len(own), models.W, low, high, 1.0, S)
            else:
                scores(
                    examples.features, places[: len(own)], low, examples.mean[block], models.W,
                    low, high, work.tiles[thread], part, examples, following,
                )  # fmt: skip
                for i in range(len(own)):
                    for k in range(K):
                        S[i, k] += part[i, k]
        for i in range(len(own)):
            label = examples.labels[own[i]]
            for m in range(M):
                s = S[i, m * C : (m + 1) * C]
                decision = 0
                for k in range(1, C):
                    if s[k] > s[decision]:
                        decision = k
                decisions[m, first + i] = decision
                losses[m, first + i] = loss_gradient(models.kinds[m], s, label, smoothing[m])
