"""Statistics of features: mean, spread, and whether a feature is constant, chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.sources.image import ImageLayout

MIN_STD = 1e-300
"""A smaller spread, whose reciprocal would overflow, counts as none."""

_MAX_BYTES_EXACT = 10_000_000  # rows of bytes: n^2 times a squared byte stays below 2^63
_BYTE_ROWS = 256  # at most at once: sums of their squares are exact in float32
_BYTE_NUMBERS = 1_000_000  # at most at once, except for a single row
_CHUNK_BYTES = 2_000_000
_MAX_SHIFT = 6e-6  # in spreads: what rounding a mean to float32 may move x by
_MIN_STD_FLOAT32, _MAX_MEAN_FLOAT32 = 1e-30, 1e30  # with room to spare


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
        x - mean is as good as exact, since numbers that are close to each other subtract exactly.
        """
        return (
            np.can_cast(dtype, np.float32)
            and bool((self.std > _MIN_STD_FLOAT32).all())
            and bool((np.abs(self.mean) < _MAX_MEAN_FLOAT32).all())
            and bool(
                (np.abs(self.mean.astype(np.float32) - self.mean) <= _MAX_SHIFT * self.std).all()
            )
        )


class Moments:
    """Mean and variance of d features, from chunks of rows in any number.

    Bytes are summed exactly. Other types are merged by the formula of Chan, Golub and LeVeque
    (1983), which loses no digits where a feature's mean is large against its spread.
    """

    def __init__(self, n_rows: int, d: int, dtype: np.dtype[Any]) -> None:
        self._n = 0
        self._exact = dtype == np.uint8 and n_rows <= _MAX_BYTES_EXACT
        if self._exact:
            self._total, self._squares = np.zeros(d, np.int64), np.zeros(d, np.int64)
            self._step = max(1, min(_BYTE_ROWS, _BYTE_NUMBERS // d))
            self._x = np.empty((self._step, d), np.float32)
        else:
            self._mean, self._deviations = np.zeros(d), np.zeros(d)
            self._first: NDArray[Any] = np.empty(0, dtype)
            self._same = np.arange(d)  # features that have had one value so far
            self._step = max(1, _CHUNK_BYTES // (8 * d))

    def add(self, rows: NDArray[Any]) -> None:
        """Take some more rows, m x d."""
        for start in range(0, len(rows), self._step):
            (self._add_bytes if self._exact else self._add)(rows[start : start + self._step])

    def _add_bytes(self, rows: NDArray[Any]) -> None:
        # Sums of 256 squares of bytes are below 2^24, so float32, and the BLAS, add them exactly.
        x, ones = self._x[: len(rows)], np.ones(len(rows), np.float32)
        np.copyto(x, rows)
        self._total += (ones @ x).astype(np.int64)
        x *= x
        self._squares += (ones @ x).astype(np.int64)
        self._n += len(rows)

    def _add(self, rows: NDArray[Any]) -> None:
        if not self._n:
            self._first = rows[0].copy()
        if 4 * len(self._same) > len(self._first):  # to take columns costs as much as to compare
            self._same = self._same[(rows == self._first).all(axis=0)[self._same]]
        elif len(self._same):
            alike = rows[:, self._same] == self._first[self._same]
            self._same = self._same[alike.all(axis=0)]
        chunk = rows.astype(np.float64)
        m = len(chunk)
        chunk_mean = chunk.mean(axis=0)
        chunk -= chunk_mean
        delta = chunk_mean - self._mean
        self._n += m
        self._mean += delta * (m / self._n)
        self._deviations += np.einsum("ij,ij->j", chunk, chunk)
        self._deviations += delta**2 * (m * (self._n - m) / self._n)

    def result(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return mean, variance, and whether it is constant, of each feature."""
        n = self._n
        if self._exact:
            deviations = n * self._squares - self._total * self._total
            return self._total / n, deviations / n**2, deviations == 0
        self._mean[self._same] = self._first[self._same]
        constant = np.zeros(len(self._mean), bool)
        constant[self._same] = True
        return self._mean, self._deviations / n, constant


def standardization(moments: Moments, kind: str, image: ImageLayout | None) -> Standardization:
    """Return what to subtract from features and what to divide them by.

    Parameters
    ----------
    moments
        Of the training split.
    kind
        per_feature, or per_channel: one mean and one std for all pixels of a channel.
    image
        How features are an image.

    Raises
    ------
    DataError
        The features are no images, for per_channel; a standard deviation is not finite.
    """
    mean, variance, constant = moments.result()
    if kind == "per_channel":
        if image is None:
            raise DataError("data.standardize: per_channel needs images, found plain features")
        mean, variance, constant = _by_channel(mean, variance, constant, image)
    std = np.sqrt(variance)
    std[constant | (std < MIN_STD)] = 1.0
    if not np.isfinite(std).all():
        column = int(np.flatnonzero(~np.isfinite(std))[0])
        raise DataError(
            f"feature {column}: its standard deviation is not finite in float64; scale it"
        )
    return Standardization(mean, std)


def _by_channel(
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    constant: NDArray[np.bool_],
    image: ImageLayout,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return the moments of each channel, for each of its features."""
    channels, pixels = image.channels, image.height * image.width
    means = image.to_planes(mean).reshape(channels, pixels)
    channel_mean = means.mean(axis=1, keepdims=True)
    # Variance over pixels and images: mean of the variances plus variance of the means.
    total = image.to_planes(variance).reshape(channels, pixels) + (means - channel_mean) ** 2
    alike = image.to_planes(constant).reshape(channels, pixels).all(axis=1)
    alike &= np.ptp(means, axis=1) == 0
    return (
        image.from_planes(np.repeat(channel_mean[:, 0], pixels)),
        image.from_planes(np.repeat(total.mean(axis=1), pixels)),
        image.from_planes(np.repeat(alike, pixels)),
    )
