"""The losses of one example, compiled by numba: the same functions as each `Loss` record's.

All have one signature: ``l = loss(s, label, smoothing)`` overwrites the scores s, C float32, with
g = dl/ds. Imported by the kernels alone, as it needs numba.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numba.extending import intrinsic

_SUMS = {"reassoc", "contract", "nsz"}  # sums may be taken in any order; NaN stays NaN
# exp(z) = 2^n exp(r), z = n log 2 + r; a polynomial in r. Both are those of Cephes (Moshier, 1989).
_LEAST = np.float32(-87)  # exp is about the smallest normal number; no share of a sum
_PER_LOG_2 = np.float32(1 / math.log(2))
_LOG_2_HIGH, _LOG_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_TO_INTEGER = np.float32(1.5 * 2**23)  # added to a number, it leaves an integer in the last bits
_P5, _P4 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3)
_P3, _P2 = np.float32(8.3334519073e-3), np.float32(4.1665795894e-2)
_P1, _P0 = np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_MANTISSA, _ONE = (
    np.int32(23),
    np.int32(0x3F800000),
)  # bits of float32: their number, and those of 1


@njit(nogil=True, _nrt=False, forceinline=True, fastmath={"contract"})
def _exp(z: Any) -> Any:
    """Return exp(z), z <= 0 or NaN, to 1e-7 of it.

    The library's function takes one number at a time; a loop over this one becomes vectors.
    """
    z = _LEAST if z < _LEAST else z
    shifted = np.float32(z * _PER_LOG_2 + _TO_INTEGER)
    n = shifted - _TO_INTEGER
    r = z - n * _LOG_2_HIGH - n * _LOG_2_LOW
    p = ((((_P5 * r + _P4) * r + _P3) * r + _P2) * r + _P1) * r + _P0
    power = np.int32((shifted.view(np.int32) << _MANTISSA) + _ONE)
    return (p * r * r + r + np.float32(1)) * power.view(np.float32)


@intrinsic
def _larger(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger of a and b, neither of which is NaN.

    Written in Python, the search would not be vectorized: LLVM needs ``nnan`` on the choice too,
    not only on the comparison. What it makes of a NaN is left open; on the processors that we know
    it is one of the two.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        flags = ("nnan", "nsz")
        return builder.select(
            builder.fcmp_ordered(">", *arguments, flags=flags), *arguments, flags=flags
        )

    return a(a, b), generate


@njit(nogil=True, _nrt=False, forceinline=True)
def _largest(s: Any) -> Any:
    """Return the largest of s; if one is NaN, any of them: the loss is NaN anyway."""
    largest = s[0]
    for k in range(1, len(s)):
        largest = _larger(s[k], largest)
    return largest


@njit(nogil=True, _nrt=False, forceinline=True, fastmath=_SUMS)
def softmax_cross_entropy(s: Any, label: int, smoothing: float) -> float:
    """Return l = -y^T log(SoftMax(s)) with y = (1 - a) e_label + a / C; s becomes p - y."""
    C, largest = len(s), _largest(s)
    share, own = smoothing / np.float32(C), s[label] - largest
    total = scores = np.float32(0)
    for k in range(C):
        z = s[k] - largest
        scores += z
        p = _exp(z)
        s[k] = p
        total += p
    inverse = np.float32(1) / total
    for k in range(C):
        s[k] = s[k] * inverse - share
    s[label] -= np.float32(1) - smoothing
    expected = (np.float32(1) - smoothing) * own
    if share > 0:
        expected += share * scores
    return float(math.log(total)) - float(expected)


@njit(nogil=True, _nrt=False, forceinline=True)
def multiclass_svm(s: Any, label: int, smoothing: float) -> float:
    """Return l = sum over j != label of max(0, s_j - s_label + 1); s becomes g.

    ``smoothing`` is 0: this loss takes no soft targets.
    """
    own = s[label]
    loss, violations = np.float32(0), np.float32(0)
    for k in range(len(s)):
        margin = s[k] - own + np.float32(1)
        s[k] = 0
        if k != label and not margin <= 0:  # also where it is NaN
            loss += margin
            violations += np.float32(1)
            s[k] = 1
    s[label] = -violations
    return float(loss)
