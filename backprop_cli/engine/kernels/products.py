"""The two thin products of a step, S = W X and dW = G X^T, on a block of features.

A block of X is copied as it is, bytes as bytes, and stays in a core's cache until its gradient is
there; a byte becomes a centred float32 in a register, each time it is used, which costs less than
to write and read numbers of four times the size. float16 becomes float32 as it is copied. Every
number is used several times from its register: 4 examples x 5 classes at once in S, 5 classes x a
few vectors of features in dW. A partial tile at an edge repeats its last row, so it needs no code
of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from backprop_cli.engine.kernels.halves import number
from backprop_cli.engine.kernels.memory import prefetch
from backprop_cli.engine.kernels.structures import Examples
from backprop_cli.engine.kernels.tile import COLUMNS, ROWS, gradient_tile

_SUMS = {"reassoc", "contract", "nsz"}  # sums may be taken in any order; NaN stays NaN
_LINE = 64  # bytes that memory hands over at once


@njit(nogil=True, _nrt=False)
def gather(examples: Examples, rows: Any, mirrored: Any, first: int, last: int, x: Any) -> None:
    """Copy features first to last of some examples into ``x``.

    ``mirrored`` says of each example whether its lines are read backwards, pixel by pixel, or is
    empty; a block is made of whole lines then.
    """
    m = last - first
    for i in range(len(rows)):
        source, target = examples.features[rows[i], first:last], x[i]
        if len(mirrored) > 0 and mirrored[i]:
            length, pixel = np.uintp(examples.line), np.uintp(examples.pixel)
            for start in range(0, m, examples.line):
                line, into = source[start : start + examples.line], target[start:]
                for j in range(np.uintp(0), length, pixel):  # unsigned: no index from the end
                    for k in range(pixel):
                        into[j + k] = number(line[length - pixel - j + k])
        else:
            for j in range(m):
                target[j] = number(source[j])


@njit(nogil=True, _nrt=False)
def fetch(features: Any, rows: Any, first: int, last: int) -> None:
    """Ask for features first to last of some examples, soon to be gathered."""
    line = _LINE // features.itemsize
    for i in range(len(rows)):
        for j in range(first, last, line):
            prefetch(features, rows[i], j)


@njit(nogil=True, _nrt=False, fastmath=_SUMS)
def scores(x: Any, rows: Any, start: int, mean: Any, W: Any, first: int, last: int, S: Any) -> None:
    """S[i, k] = sum over the block's features of (x[rows[i]] - mean) W[k]; K padded to tiles.

    The block is features first to last of W; in ``x`` it begins at ``start``.
    """
    K, m, n = len(W), last - first, len(rows)
    end = start + m
    for c in range(0, K, ROWS):
        c1, c2, c3, c4 = min(c + 1, K - 1), min(c + 2, K - 1), min(c + 3, K - 1), min(c + 4, K - 1)
        w0, w1, w2 = W[c, first:last], W[c1, first:last], W[c2, first:last]
        w3, w4 = W[c3, first:last], W[c4, first:last]
        for i in range(0, n, 4):
            i1, i2, i3 = min(i + 1, n - 1), min(i + 2, n - 1), min(i + 3, n - 1)
            x0, x1 = x[rows[i], start:end], x[rows[i1], start:end]
            x2, x3 = x[rows[i2], start:end], x[rows[i3], start:end]
            s00 = s01 = s02 = s03 = s04 = np.float32(0)
            s10 = s11 = s12 = s13 = s14 = np.float32(0)
            s20 = s21 = s22 = s23 = s24 = np.float32(0)
            s30 = s31 = s32 = s33 = s34 = np.float32(0)
            for j in range(m):
                mu = mean[j]
                a0, a1 = np.float32(number(x0[j])) - mu, np.float32(number(x1[j])) - mu
                a2, a3 = np.float32(number(x2[j])) - mu, np.float32(number(x3[j])) - mu
                w = w0[j]
                s00, s10, s20, s30 = s00 + a0 * w, s10 + a1 * w, s20 + a2 * w, s30 + a3 * w
                w = w1[j]
                s01, s11, s21, s31 = s01 + a0 * w, s11 + a1 * w, s21 + a2 * w, s31 + a3 * w
                w = w2[j]
                s02, s12, s22, s32 = s02 + a0 * w, s12 + a1 * w, s22 + a2 * w, s32 + a3 * w
                w = w3[j]
                s03, s13, s23, s33 = s03 + a0 * w, s13 + a1 * w, s23 + a2 * w, s33 + a3 * w
                w = w4[j]
                s04, s14, s24, s34 = s04 + a0 * w, s14 + a1 * w, s24 + a2 * w, s34 + a3 * w
            S[i, c], S[i, c + 1], S[i, c + 2], S[i, c + 3], S[i, c + 4] = s00, s01, s02, s03, s04
            t = S[i1]
            t[c], t[c + 1], t[c + 2], t[c + 3], t[c + 4] = s10, s11, s12, s13, s14
            t = S[i2]
            t[c], t[c + 1], t[c + 2], t[c + 3], t[c + 4] = s20, s21, s22, s23, s24
            t = S[i3]
            t[c], t[c + 1], t[c + 2], t[c + 3], t[c + 4] = s30, s31, s32, s33, s34


@njit(nogil=True, _nrt=False)
def gradient_rows(G: Any, x: Any, mean: Any, n: int, row: int, m: int, out: Any) -> None:
    """out[t, j] = sum over i of G[i, row + t] (x[i, j] - mean[j]), ROWS x m, or some more."""
    for column in range(0, m, COLUMNS):
        gradient_tile(G, x, mean, n, row, column, out)
