"""How the NumPy engine standardizes: examples as they are gathered, or W in their place.

    W (x - mean) / std = (W / std) x - (W / std) mean

Where W is smaller than a mini-batch, the right-hand side is cheaper: examples are used as they are
stored, the standardization is folded into the parameters, and the chain rule leads back from the
folded parameters to W. No digits are lost where the means are small against the spreads, perhaps
after 128 was subtracted from all bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.losses import Array
from backprop_cli.sources import Block, ImageLayout, Standardization

MIDDLE = 128
"""Of a byte's values."""

_MAX_FOLDED_ROWS = 64  # of W: standardizing these is cheaper than standardizing a mini-batch
_MAX_SPREADS = 2.0  # of what is left of a mean: costs a bit of float32 at most


class Standardizing:
    """Hands out examples, and what W, b and their gradients are for these examples.

    Parameters
    ----------
    standardization
        Of the training split.
    image
        How examples are images; needed for mirroring alone.
    dtype
        float32 or float64.
    features
        The type of the training features; None if it is not known: then nothing is folded.
    n_rows
        M O, the rows of all models' W.
    fold_float64
        Whether to fold in float64, too. The reference of other engines does not: a mistake in the
        folding would be in both.
    """

    def __init__(
        self,
        standardization: Standardization,
        image: ImageLayout | None,
        dtype: np.dtype[Any],
        features: np.dtype[Any] | None,
        n_rows: int,
        fold_float64: bool = False,
    ) -> None:
        self._standardization, self._image = standardization, image
        self._constant = folded_constant(standardization, features, dtype, n_rows, fold_float64)
        self.folds = self._constant is not None
        mean, std = standardization.mean, standardization.std
        if self._constant is not None:
            self._mean_left: Array = (mean - self._constant).astype(dtype)
            self._scale: Array = (1 / std).astype(dtype)
            self._folded: Array = np.empty((n_rows, len(mean)), dtype)
        self._conversions: dict[np.dtype[Any], tuple[np.dtype[Any], Array, Array]] = {}
        self._raw: NDArray[Any] = np.empty((0, len(mean)), np.uint8)
        self._rows: Array = np.empty((0, len(mean)), dtype)

    def examples(self, block: Block) -> Array:
        """Return X^T, n x d: standardized, unless W is. Overwritten by the next call."""
        n, features = len(block.rows), block.features
        if len(self._rows) < n:
            self._rows = np.empty((n, features.shape[1]), self._rows.dtype)
        if len(self._raw) < n or self._raw.dtype != features.dtype:
            self._raw = np.empty(self._rows.shape, features.dtype)
        raw, out = self._raw[:n], self._rows[:n]
        # Row numbers come from a permutation, so clipping never happens; it spares a copy.
        features.take(block.rows, 0, raw, "clip")
        if block.mirrored is not None and self._image is not None:
            self._image.mirror(raw, block.mirrored)
        if self._constant == MIDDLE and raw.dtype == np.uint8:
            # A byte less 128 has the same bits except the first, read as a signed byte.
            np.copyto(out, np.bitwise_xor(raw, MIDDLE, out=raw).view(np.int8))
        else:
            self._convert(raw, out)
        return out

    def _convert(self, raw: NDArray[Any], out: Array) -> None:
        """Subtract, and scale unless W is scaled; in float32 where that keeps the digits."""
        precision, mean, scale = self._conversion(raw.dtype)
        x: Array = out if precision == out.dtype else np.empty(out.shape, precision)
        np.copyto(x, raw)  # a cast and a subtraction are faster than both in one ufunc
        if self._constant is None:
            x -= mean
            x *= scale
        elif self._constant:
            x -= self._constant
        if x is not out:
            np.copyto(out, x, casting="same_kind")

    def _conversion(self, dtype: np.dtype[Any]) -> tuple[np.dtype[Any], Array, Array]:
        """Return what to convert features of a type in: the precision, mean and 1 / std."""
        if dtype not in self._conversions:
            standardization = self._standardization
            narrow = self._rows.dtype == np.float32 and standardization.fits_float32(dtype)
            precision = np.dtype(np.float32 if narrow else np.float64)
            mean, std = standardization.mean, standardization.std
            self._conversions[dtype] = (
                precision, mean.astype(precision), (1.0 / std).astype(precision)
            )  # fmt: skip
        return self._conversions[dtype]

    def parameters(self, W: Array, b: Array) -> tuple[Array, Array]:
        """Return W and b for the examples that are handed out, M x O x d and M x O."""
        if not self.folds:
            return W, b
        folded = np.multiply(W, self._scale, out=self._folded.reshape(W.shape))
        return folded, b - folded @ self._mean_left

    def gradient(self, dW: Array, db: Array) -> Array:
        """Return the gradient by W from that by the folded W, in its memory: the chain rule."""
        if self.folds:
            shift = self._folded.reshape(dW.shape)  # what was folded is of no more use
            dW -= np.multiply(db[:, :, None], self._mean_left, out=shift)
            dW *= self._scale
        return dW


def folded_constant(
    standardization: Standardization,
    features: np.dtype[Any] | None,
    dtype: np.dtype[Any],
    n_rows: int,
    fold_float64: bool = False,
) -> int | None:
    """Return what to subtract from every feature where the rest is folded into W.

    None where examples are to be standardized themselves. Parameters are those of `Standardizing`.
    """
    mean, std = standardization.mean, standardization.std
    if features is None or n_rows > _MAX_FOLDED_ROWS or (dtype == np.float64 and not fold_float64):
        return None
    if dtype == np.float32 and not standardization.fits_float32(features):
        return None
    for constant in (MIDDLE, 0) if features == np.uint8 else (0,):
        if (np.abs(mean - constant) <= _MAX_SPREADS * std).all():
            return constant
    return None
