"""The two thin products of a step, S = W X and dW = G X^T, on a block of features.

A block of X is copied as it is, bytes as bytes, and stays in a core's cache until its gradient is
there; a byte becomes a centred float32 in a register, each time it is used, which costs less than
to write and read numbers of four times the size. float16 becomes float32 as it is copied. Every
number is used several times from its register: 4 examples x 5 classes at once in S, 5 classes x a
few vectors of features in dW. Some examples are multiplied by all rows of W before the next ones
are, and some features by all rows of G: as many as fit in the second cache. A partial tile at an
edge repeats its last row, so it needs no code of its own.

Where W has many rows and vectors are shorter than 512 bits, the BLAS makes both products. It takes
float32 numbers, so a block of X is converted and standardized as it is copied, and W is as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from backprop_cli.engine.kernels.halves import number
from backprop_cli.engine.kernels.memory import LINE, prefetch
from backprop_cli.engine.kernels.sgemm import times_transposed, transposed_times
from backprop_cli.engine.kernels.structures import CHUNK_BYTES, Examples
from backprop_cli.engine.kernels.tile import (
    COLUMNS,
    EXAMPLES,
    LANES,
    ROWS,
    first_scores_tile,
    gradient_tile,
    scores_tile,
)

_SHARES = 4  # of a block, that are asked for one after the other


@njit(nogil=True, _nrt=False, forceinline=True)
def place(examples: Examples, row: int) -> int:
    """Return which of the numbers is the first of a row."""
    low, high = 0, len(examples.ends) - 1
    while low < high:
        middle = (low + high) // 2
        if row < examples.ends[middle]:
            high = middle
        else:
            low = middle + 1
    start: int = examples.begins[low] + row * examples.d
    return start


@njit(nogil=True, _nrt=False, forceinline=True)
def gather(
    examples: Examples,
    rows: Any,
    mirrored: Any,
    block: int,
    first: int,
    last: int,
    standardized: bool,
    x: Any,
) -> None:
    """Copy features first to last of some examples, a block, into ``x``; standardize them there.

    ``mirrored`` says of each example whether its lines are read backwards, pixel by pixel, or is
    empty; a block is made of whole lines then.
    """
    m, mean, scale = last - first, examples.mean[block], examples.scale[first:last]
    for i in range(len(rows)):
        start = place(examples, rows[i])
        source, target = examples.features[start + first : start + last], x[i]
        if len(mirrored) > 0 and mirrored[i]:
            length, pixel = np.uintp(examples.line), np.uintp(examples.pixel)
            for begin in range(0, m, examples.line):
                line, into = source[begin : begin + examples.line], target[begin:]
                for j in range(np.uintp(0), length, pixel):  # unsigned: no index from the end
                    for k in range(pixel):
                        into[j + k] = number(line[length - pixel - j + k])
        else:
            for j in range(m):
                target[j] = number(source[j])
        if standardized:
            for j in range(m):
                target[j] = (target[j] - mean[j]) * scale[j]


@njit(nogil=True, _nrt=False, forceinline=True)
def fetch(examples: Examples, rows: Any, first: int, last: int) -> None:
    """Ask for features first to last of examples that are soon needed, and for their labels."""
    if first == last:
        return
    line = LINE // examples.features.itemsize
    for i in range(len(rows)):
        prefetch(examples.labels, rows[i])
        start = place(examples, rows[i])
        for j in range(first, last, line):
            prefetch(examples.features, start + j)


@njit(nogil=True, _nrt=False, forceinline=True)
def scores(
    x: Any,
    places: Any,
    start: int,
    mean: Any,
    W: Any,
    first: int,
    last: int,
    w: Any,
    S: Any,
    examples: Examples,
    following: Any,
) -> None:
    """S[i, k] = sum over the block's features of (x_i - mean) W[k]; K padded to tiles.

    The block is features first to last of W. Example i begins at ``places[i]`` of the numbers
    ``x``, and the block ``start`` further. ``w`` is scratch memory, contiguous: for ROWS rows of as
    many numbers as features, rounded up to whole vectors. ``following`` are rows of ``examples``
    that are soon needed: each tile asks for some of their numbers, so that they come while it
    multiplies.
    """
    m, n = last - first, len(places)
    if m < LANES:
        fetch(examples, following, first, last)
        _few_features(x, places, start, mean, W, first, m, S)
        return
    chunk = max(1, CHUNK_BYTES // (m * x.itemsize * EXAMPLES)) * EXAMPLES
    share = -(-m // min(_SHARES, -(-len(W) // ROWS)))
    for begin in range(0, n, chunk):
        own, into = places[begin : begin + chunk], S[begin:]
        coming = following[begin : begin + chunk]
        for c in range(0, len(W), ROWS):
            low = min(first + c // ROWS * share, last)
            high = min(low + share, last)
            first_scores_tile(x, own, start, mean, W, c, first, m, w, into)
            fetch(examples, coming[:EXAMPLES], low, high)
            for i in range(EXAMPLES, len(own), EXAMPLES):
                scores_tile(x, own, i, start, mean, w, m, c, into)
                fetch(examples, coming[i : i + EXAMPLES], low, high)


@njit(nogil=True, _nrt=False, forceinline=True)
def scores_by_blas(
    product: int, x: Any, n: int, W: Any, first: int, last: int, share: float, S: Any
) -> None:
    """S[i, k] <- share S[i, k] + sum over the block's features of x_i W[k], x standardized.

    The n examples lie in the rows of ``x``.
    """
    own, into = x[:n, : last - first], S[:n, : len(W)]
    times_transposed(product, 1.0, own, W[:, first:last], share, into)


@njit(nogil=True, _nrt=False, forceinline=True)
def _few_features(
    x: Any, places: Any, start: int, mean: Any, W: Any, first: int, m: int, S: Any
) -> None:
    """Do the same where there are fewer features than a vector has numbers."""
    for i in range(len(places)):
        own = x[places[i] + start : places[i] + start + m]
        for k in range(len(W)):
            total = np.float32(0)
            for j in range(m):
                total += (np.float32(number(own[j])) - mean[j]) * W[k, first + j]
            S[i, k] = total


@njit(nogil=True, _nrt=False, forceinline=True)
def gradient_rows(
    product: int, G: Any, x: Any, mean: Any, n: int, first: int, last: int, out: Any
) -> None:
    """out[t, j - first] = sum over i < n of G[i, t] (x[i, j] - mean[j]).

    For features j from first to before last, counted within the block. ``G`` is n x R, and
    ``out`` R x (last - first), or up to a tile more. The BLAS takes ``x`` that is standardized.
    """
    if product != 0:
        transposed_times(product, 1.0, G[:n], x[:n, first:last], 0.0, out[:, : last - first])
        return
    for column in range(first, last, COLUMNS):
        gradient_tile(G, x, mean, n, column, out, column - first)
