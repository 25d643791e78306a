"""Standardization: statistics of the training split, kept with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.sources.dataset import Dataset, Split

LEAST_STD = 1e-300
"""A smaller spread, of which 1 / std would overflow, is taken for none."""

_CHUNK_BYTES = 2_000_000
_BYTE_ROWS = 256  # at most, so that sums are exact
_BYTE_NUMBERS = 1_000_000  # at most at once, but for one row
_MOST_BYTE_ROWS = 10_000_000  # n^2 times a square of a byte is below 2^63
_MOST_SHIFT = 6e-6  # spreads: what rounding a mean to float32 may move x by
_LEAST_STD, _LARGEST_MEAN = 1e-30, 1e30  # with room to spare in float32


@dataclass(frozen=True)
class Standardization:
    """x becomes (x - mean) / std, feature by feature.

    Attributes
    ----------
    mean, std
        d numbers each, float64. A constant feature has std 1, so that it becomes 0.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def fits_float32(self, dtype: np.dtype[Any]) -> bool:
        """Say whether float32 keeps the digits of (x - mean) / std for features of ``dtype``.

        It must hold the features exactly, and the means closely enough for their spread. Then
        x - mean is as good as exact, as numbers that are near each other subtract exactly.
        """
        return (
            np.can_cast(dtype, np.float32)
            and bool((self.std > _LEAST_STD).all())
            and bool((np.abs(self.mean) < _LARGEST_MEAN).all())
            and bool(
                (np.abs(self.mean.astype(np.float32) - self.mean) <= _MOST_SHIFT * self.std).all()
            )
        )


def fit_standardization(dataset: Dataset, kind: str) -> Standardization:
    """Return the statistics of the training split.

    Parameters
    ----------
    dataset
        Only its training split is looked at.
    kind
        none, per_feature, or per_channel (one mean and one std for all pixels of a channel).
    """
    with np.errstate(over="ignore", invalid="ignore"):  # looked for at the end
        return _fit(dataset, kind)


def _fit(dataset: Dataset, kind: str) -> Standardization:
    d = dataset.n_features
    if kind == "none":
        return Standardization(np.zeros(d), np.ones(d))
    bytes_ = dataset.train.features.dtype == np.uint8 and len(dataset.train) <= _MOST_BYTE_ROWS
    mean, variance, constant = (_byte_moments if bytes_ else _moments)(dataset.train)
    if kind == "per_channel":
        if dataset.image_shape is None:
            raise DataError("data.standardize: per_channel needs images, found plain features")
        channels = dataset.image_shape[0]
        by_channel = mean.reshape(channels, -1)
        channel_mean = by_channel.mean(axis=1, keepdims=True)
        # Variance over pixels and images: mean of the variances plus variance of the means.
        total = variance.reshape(channels, -1) + (by_channel - channel_mean) ** 2
        constant = np.repeat(constant.reshape(channels, -1).all(axis=1), d // channels)
        constant &= np.repeat(np.ptp(by_channel, axis=1) == 0, d // channels)
        mean = np.repeat(channel_mean[:, 0], d // channels)
        variance = np.repeat(total.mean(axis=1), d // channels)
    std = np.sqrt(variance)
    std[constant | (std < LEAST_STD)] = 1.0
    if not np.isfinite(std).all():
        column = int(np.flatnonzero(~np.isfinite(std))[0])
        raise DataError(f"feature {column}: its standard deviation is not finite in float64")
    return Standardization(mean, std)


def _byte_moments(
    split: Split,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the same as `_moments` for uint8 features, from exact sums, in a third of the time.

    Sums of 256 squares of bytes are below 2^24, so that float32, and the BLAS, add them exactly.
    """
    from threadpoolctl import threadpool_limits

    d = split.features.shape[1]
    total, squares = np.zeros(d, np.int64), np.zeros(d, np.int64)
    step = max(1, min(_BYTE_ROWS, _BYTE_NUMBERS // d))
    x, ones = np.empty((step, d), np.float32), np.ones(step, np.float32)
    n = len(split)
    with threadpool_limits(1):  # two threads are slower at so small a product, and vary
        for first in range(0, n, step):
            rows = split.rows[first : first + step]
            chunk, one = x[: len(rows)], ones[: len(rows)]
            np.copyto(chunk, split.features[rows])
            total += (one @ chunk).astype(np.int64)
            chunk *= chunk
            squares += (one @ chunk).astype(np.int64)
    deviations = n * squares - total * total  # exact
    return total / n, deviations / n**2, deviations == 0


def _moments(
    split: Split,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return mean, variance, and whether it is constant, of each feature; chunk by chunk.

    Chunks are merged by Chan, Golub and LeVeque's formula (1983), which loses no digits where a
    feature's mean is large against its spread.
    """
    d = split.features.shape[1]
    mean, squares = np.zeros(d), np.zeros(d)
    first_row: NDArray[Any] = split.features[split.rows[0]]
    constant = np.ones(d, bool)
    n = 0
    step = max(1, _CHUNK_BYTES // (8 * d))
    for first in range(0, len(split), step):
        rows = split.features[split.rows[first : first + step]]
        constant &= (rows == first_row).all(axis=0)
        chunk = rows.astype(np.float64)
        m = len(chunk)
        chunk_mean = chunk.mean(axis=0)
        chunk -= chunk_mean
        delta = chunk_mean - mean
        n += m
        mean += delta * (m / n)
        squares += np.einsum("ij,ij->j", chunk, chunk) + delta**2 * (m * (n - m) / n)
    mean[constant] = first_row[constant]
    return mean, squares / n, constant
