"""Mini-batches: the order of an epoch, and gathering examples into a standardized buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backprop_cli.rng import Stream, generator
from backprop_cli.sources.statistics import Standardization

MIDDLE = 128
"""Of a byte's values."""


def epoch_order(rows: NDArray[np.intp], seed: int, epoch: int) -> NDArray[np.intp]:
    """Return ``rows`` shuffled: depends on the seed and the epoch (from 0) alone."""
    return generator(seed, Stream.ORDER, epoch).permutation(rows)


def epoch_flips(n: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Say which of the n examples of an epoch, in its order, are mirrored."""
    return generator(seed, Stream.FLIPS, epoch).random(n) < 0.5


class Gatherer:
    """Copies examples from a split's features into one reused buffer, and standardizes them.

    Images stay uint8 until here.

    Parameters
    ----------
    standardization
        Of the training split.
    dtype
        float32 or float64: what the buffer holds.
    batch_size
        The most examples that one call may ask for.
    image_shape
        (channels, height, width), needed for mirroring only.
    subtracts
        Only this number is subtracted, from every feature, and the rest of the standardization is
        left to who uses the examples. None: standardize.
    """

    def __init__(
        self,
        standardization: Standardization,
        dtype: DTypeLike,
        batch_size: int,
        image_shape: tuple[int, int, int] | None = None,
        *,
        subtracts: float | None = None,
    ) -> None:
        self._standardization, self._subtracts = standardization, subtracts
        self._rows: NDArray[np.floating[Any]] = np.empty(
            (batch_size, len(standardization.mean)), dtype
        )
        self._image_shape = image_shape
        self._raw: NDArray[Any] = np.empty((0, 0), np.uint8)
        self._prepare(np.dtype(np.uint8))

    def __call__(
        self,
        features: NDArray[Any],
        rows: NDArray[np.intp],
        flips: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.floating[Any]]:
        """Return ``features[rows]``, n x d; overwritten by the next call."""
        n = len(rows)
        if self._raw.dtype != features.dtype:
            self._prepare(features.dtype)
        raw, out = self._raw[:n], self._rows[:n]
        # Row numbers come from a permutation, so clipping never happens; it spares a copy.
        np.take(features, rows, axis=0, out=raw, mode="clip")
        if flips is not None and self._image_shape is not None:
            images = raw.reshape(n, *self._image_shape)
            images[flips] = images[flips, ..., ::-1]
        if self._subtracts == MIDDLE and raw.dtype == np.uint8:
            # A byte less 128 has the same bits but the first, read as a signed one.
            np.copyto(out, np.bitwise_xor(raw, MIDDLE, out=raw).view(np.int8))
            return out
        x = out if self._wide is None else self._wide[:n]
        np.copyto(x, raw)  # a cast and a subtraction are faster than both in one ufunc
        if self._subtracts is None:
            x -= self._mean
            x *= self._scale
        elif self._subtracts:
            x -= self._subtracts
        if x is not out:
            np.copyto(out, x, casting="same_kind")
        return out

    def _prepare(self, dtype: np.dtype[Any]) -> None:
        """Make room for features of ``dtype``, and choose the precision to standardize in.

        float32, where that keeps the digits; float64 elsewhere, and rounded at the end.
        """
        mean, std = self._standardization.mean, self._standardization.std
        narrow = self._rows.dtype == np.float32 and self._standardization.fits_float32(dtype)
        precision = np.float32 if narrow else np.float64
        self._raw = np.empty(self._rows.shape, dtype)
        self._wide: NDArray[np.float64] | None = None if narrow else np.empty(self._rows.shape)
        self._mean: NDArray[np.floating[Any]] = mean.astype(precision)
        self._scale: NDArray[np.floating[Any]] = (1.0 / std).astype(precision)
