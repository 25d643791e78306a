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


_MOST_SPREADS = 100.0  # of the mean: rounding it to float32 then moves x by 6e-6 spreads
_LEAST_STD, _LARGEST_MEAN = 1e-30, 1e30  # with room to spare in float32


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
        self._prepare(np.dtype(np.uint8))

    def __call__(
        self,
        features: NDArray[Any],
        rows: NDArray[np.intp],
        flips: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.floating[Any]]:
        """Return ``features[rows]`` standardized, n x d; overwritten by the next call."""
        n = len(rows)
        if self._raw.dtype != features.dtype:
            self._prepare(features.dtype)
        raw, out = self._raw[:n], self._rows[:n]
        # Row numbers come from a permutation, so clipping never happens; it spares a copy.
        np.take(features, rows, axis=0, out=raw, mode="clip")
        if flips is not None and self._image_shape is not None:
            images = raw.reshape(n, *self._image_shape)
            images[flips] = images[flips, ..., ::-1]
        centred = self._centred[:n]
        np.subtract(raw, self._mean, out=centred)
        np.multiply(centred, self._scale, out=out, casting="same_kind")
        return out

    def _prepare(self, dtype: np.dtype[Any]) -> None:
        """Make room for features of ``dtype``, and choose the precision to standardize in.

        float32, where it holds the features exactly and the mean is not large against the spread,
        so that the difference keeps its digits; float64 elsewhere, and rounded at the end.
        """
        mean, std = self._standardization.mean, self._standardization.std
        narrow = (
            self._rows.dtype == np.float32
            and np.can_cast(dtype, np.float32)
            and bool((np.abs(mean) < _MOST_SPREADS * std).all())
            and bool((std > _LEAST_STD).all())
            and bool((np.abs(mean) < _LARGEST_MEAN).all())
        )
        precision = np.float32 if narrow else np.float64
        self._raw = np.empty(self._rows.shape, dtype)
        same = self._rows.dtype == precision
        self._centred = self._rows if same else np.empty(self._rows.shape, precision)
        self._mean = mean.astype(precision)
        self._scale = (1.0 / std).astype(precision)
