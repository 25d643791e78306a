"""One pass over all examples: are they finite, what are their statistics, which are they."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backprop_cli import blas
from backprop_cli.errors import DataError
from backprop_cli.sources.source import Dataset, Features, Source
from backprop_cli.sources.statistics import Moments, Standardization, standardization

CHUNK_BYTES = 2_000_000
"""How much is read at once: it stays in the cache, so that all who need it read memory once."""


@dataclass(frozen=True)
class Survey:
    """What one pass over a data set found.

    Attributes
    ----------
    standardization
        Of the training split.
    fingerprint
        SHA-256 of all examples, labels and splits, of the names of the classes, and of the weights
        of training examples if there are any. It depends on values and their type alone, not on
        files or their layout. Empty where it was not asked for.
    """

    standardization: Standardization
    fingerprint: str


def survey(
    dataset: Dataset,
    standardize: str | Standardization,
    dtype: DTypeLike,
    *,
    fingerprint: bool = True,
    tell: Callable[[int, int], None] | None = None,
) -> Survey:
    """Read every source once, from its first row to its last.

    Parameters
    ----------
    dataset
        Its training split alone gives the statistics.
    standardize
        none, per_feature or per_channel; or the standardization of a model, which stays.
    dtype
        What will be computed in: every feature must be finite in it.
    fingerprint
        Whether to find it. Hashing takes about as long as all the rest.
    tell
        Called with how many rows were read so far, of how many; it may raise an error.

    Raises
    ------
    DataError
        A feature is not finite, or there is nothing to standardize by; names file and feature.
    """
    d, train = dataset.n_features, dataset.train
    moments = None
    if isinstance(standardize, str) and standardize != "none":
        moments = Moments(len(train), d, train.features.dtype)
    read, of = 0, sum(len(source) for source in dataset.sources())

    def advance(rows: int) -> None:
        nonlocal read
        read += rows
        if tell is not None:
            tell(read, of)

    digests: dict[int, bytes] = {}
    ranges: dict[int, Range] = {}
    # Overflow is looked for in the results.
    quiet = np.errstate(over="ignore", invalid="ignore")
    # One thread of BLAS: two are slower at the small products of statistics, and vary.
    with quiet, blas.limited(1), ThreadPoolExecutor(1, "backprop-survey") as pool:
        helper = pool if _starts(pool) else None
        for source in dataset.sources():
            of_train = moments if source is train.source else None
            reading = _Reading(source, np.dtype(dtype), of_train, train.rows)
            digests[id(source)] = reading.run(helper, advance, fingerprint=fingerprint)
            source.check_unchanged()
            ranges[id(source)] = reading.range
        if isinstance(standardize, Standardization):
            found = standardize
        elif moments is None:
            found = Standardization(np.zeros(d), np.ones(d))
        else:
            try:
                found = standardization(moments, standardize, dataset.image)
            except DataError as error:
                raise DataError(f"{train.source.name}: {error}") from error
        for source in dataset.sources():
            _check_reach(source, ranges[id(source)], found, np.dtype(dtype))
    return Survey(found, _fingerprint(dataset, digests) if fingerprint else "")


def _starts(pool: ThreadPoolExecutor) -> bool:
    """Start the thread of a pool; say whether there is one."""
    try:
        pool.submit(int).result()
    except RuntimeError:  # the system has no thread left
        return False
    return True


class Range:
    """The smallest and the largest value of every feature so far.

    Parameters
    ----------
    dtype
        What will be computed in.
    place
        Returns the file that a row comes from, and which of its rows it is.
    """

    def __init__(self, dtype: np.dtype[Any], place: Callable[[int], tuple[str, int]]) -> None:
        self._dtype, self._place = dtype, place
        self.low: NDArray[np.float64] | None = None
        self.high: NDArray[np.float64] | None = None

    def add(self, features: NDArray[Any], first: int = 0) -> None:
        """Take some rows, of which the first is row ``first``; refuse what is not finite."""
        if features.dtype == np.uint8 or not len(features):
            return  # bytes are finite in any type, and cannot reach far
        low, high = (ends.astype(np.float64) for ends in _ends(features))
        largest = np.finfo(self._dtype).max
        if not (np.maximum(-low, high) <= largest).all():  # NaN is not
            good = np.abs(features.astype(np.float64)) <= largest
            row, column = np.argwhere(~good)[0]
            name, row_in_file = self._place(first + int(row))
            raise DataError(
                f"{name}: features[{row_in_file}, {column}] is {features[row, column]!s}, "
                f"expected numbers that are finite in {self._dtype.name}"
            )
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)


def _ends(features: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the smallest and the largest value of each feature; NaN for one that has a NaN."""
    if features.dtype != np.float16:
        return features.min(axis=0), features.max(axis=0)
    # NumPy compares halves one by one. Their bits, read as integers, are in the order of their
    # values, if those of negative numbers are turned over. NaN comes before or after all others.
    bits = np.ascontiguousarray(features).view(np.int16)
    keys = bits ^ ((bits >> 15) & 0x7FFF)
    low, high = keys.min(axis=0), keys.max(axis=0)
    return tuple((own ^ ((own >> 15) & 0x7FFF)).view(np.float16) for own in (low, high))


class _Reading:
    """Reads a source once: its range, its digest, and moments of the rows that count."""

    def __init__(
        self,
        source: Source,
        dtype: np.dtype[Any],
        moments: Moments | None,
        counted: NDArray[np.intp],
    ) -> None:
        self._source, self._moments, self._counted = source, moments, counted
        self.range = Range(dtype, source.place)

    def run(
        self,
        helper: ThreadPoolExecutor | None,
        advance: Callable[[int], None],
        *,
        fingerprint: bool,
    ) -> bytes:
        """Read all rows; return the digest, which is of none of them without ``fingerprint``.

        ``advance`` is called with the number of rows of every chunk that was read.

        The moments take about as long as the rest, which has a core of its own where there is one.
        """
        digest, errors = _begun(self._source.features), np.geterr()

        def check(start: int, chunk: NDArray[Any]) -> None:
            with np.errstate(**errors):  # a thread begins with the defaults
                self.range.add(chunk, start)
            if fingerprint:
                _update(digest, chunk)

        for start, chunk in self._source.chunks(CHUNK_BYTES):
            if helper is None:
                check(start, chunk)
                self._add_moments(chunk, start)
            else:
                pending = helper.submit(check, start, chunk)
                try:
                    self._add_moments(chunk, start)
                finally:
                    pending.result()
            advance(len(chunk))
        whole: bytes = digest.digest()
        return whole

    def _add_moments(self, chunk: NDArray[Any], start: int) -> None:
        if self._moments is None:
            return
        first, last = np.searchsorted(self._counted, [start, start + len(chunk)])
        own = self._counted[first:last] - start
        self._moments.add(chunk if len(own) == len(chunk) else chunk[own])


def _check_reach(
    source: Source, found: Range, standardization: Standardization, dtype: np.dtype[Any]
) -> None:
    """Refuse features whose standardized value is too large to compute with."""
    if found.low is None or found.high is None:
        return
    mean, std = standardization.mean, standardization.std
    limit = float(np.sqrt(np.finfo(dtype).max))
    with np.errstate(over="ignore"):  # a model may say anything; beyond all numbers is infinity
        reach = limit * std
        largest = np.maximum(mean - found.low, found.high - mean)
    if (largest <= reach).all():
        return
    for start, chunk in source.chunks(CHUNK_BYTES):
        with np.errstate(over="ignore"):
            good = np.abs(chunk.astype(np.float64) - mean) <= reach
        if not good.all():
            row, column = np.argwhere(~good)[0]
            name, row_in_file = source.place(start + int(row))
            raise DataError(
                f"{name}: features[{row_in_file}, {column}] is {chunk[row, column]!s}, "
                f"which is more than {limit:.0e} standard deviations from the mean "
                f"{mean[column]:.4g} of the training split; remove it, or scale the features"
            )


def check_features(source: Source, standardization: Standardization, dtype: DTypeLike) -> None:
    """Refuse features that are not finite, or that a model cannot standardize.

    Raises
    ------
    DataError
        Names the feature.
    """
    found = Range(np.dtype(dtype), source.place)
    for start, chunk in source.chunks(CHUNK_BYTES):
        found.add(chunk, start)
    _check_reach(source, found, standardization, np.dtype(dtype))


def _fingerprint(dataset: Dataset, digests: dict[int, bytes]) -> str:
    total = hashlib.sha256(repr((dataset.class_names, dataset.image)).encode())
    for split in (dataset.train, dataset.validation, dataset.test):
        if split is None:
            total.update(b"no such split")
            continue
        total.update(digests[id(split.source)])
        for array in (split.source.labels, split.rows):
            digest = _begun(array)
            _update(digest, array)
            total.update(digest.digest())
    weights = dataset.train.source.example_weights
    if weights is not None:
        total.update(np.ascontiguousarray(weights[dataset.train.rows], "<f8").data)
    return total.hexdigest()


def _begun(array: Features) -> Any:
    native = array.dtype.newbyteorder("<")
    return hashlib.sha256(repr((array.shape, native.str)).encode())


def _update(digest: Any, array: NDArray[Any]) -> None:
    digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
