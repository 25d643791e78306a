"""Mini-batches: the order of an epoch, and gathering examples into a standardized buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backprop_cli.datasets.standardize import Standardization
from backprop_cli.rng import Stream, generator


def epoch_order(rows: NDArray[np.intp], seed: int, epoch: int) -> NDArray[np.intp]:
    """Return ``rows`` shuffled: depends on the seed and the epoch (from 0) alone."""
    return generator(seed, Stream.ORDER, epoch).permutation(rows)


def epoch_flips(n: int, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Say which of the n examples of an epoch, in its order, are mirrored."""
    return generator(seed, Stream.FLIPS, epoch).random(n) < 0.5


class Gatherer:
    """Copies examples from a split's features into one reused buffer, standardized.

    Images stay uint8 until here; the cast to floating point is part of the subtraction.

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
    """

    def __init__(
        self,
        standardization: Standardization,
        dtype: DTypeLike,
        batch_size: int,
        image_shape: tuple[int, int, int] | None = None,
    ) -> None:
        self._standardization = standardization
        self._rows = np.empty((batch_size, len(standardization.mean)), dtype)
        self._image_shape = image_shape
        self._raw: NDArray[Any] = np.empty((0, 0), np.uint8)
        self._mean = standardization.mean
        self._scale = (1.0 / standardization.std).astype(dtype)

    def __call__(
        self,
        features: NDArray[Any],
        rows: NDArray[np.intp],
        flips: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.floating[Any]]:
        """Return ``features[rows]`` standardized, n x d; overwritten by the next call."""
        n = len(rows)
        if self._raw.dtype != features.dtype or not self._raw.size:
            self._prepare(features.dtype)
        raw, out = self._raw[:n], self._rows[:n]
        # Row numbers come from a permutation, so clipping never happens; it spares a copy.
        np.take(features, rows, axis=0, out=raw, mode="clip")
        if flips is not None and self._image_shape is not None:
            images = raw.reshape(n, *self._image_shape)
            images[flips] = images[flips, ..., ::-1]
        np.subtract(raw, self._mean, out=out, casting="same_kind")
        np.multiply(out, self._scale, out=out)
        return out

    def _prepare(self, dtype: np.dtype[Any]) -> None:
        """Make room for features of ``dtype``, and choose the precision of the subtraction.

        Wide types are subtracted in float64, so that a large mean costs no digits; uint8, int8
        and float16 are exact in float32.
        """
        self._raw = np.empty(self._rows.shape, dtype)
        narrow = self._rows.dtype == np.float32 and np.can_cast(dtype, np.float32)
        precision = np.float32 if narrow else np.float64
        self._mean = self._standardization.mean.astype(precision)
