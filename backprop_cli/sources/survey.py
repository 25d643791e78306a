"""One pass over all examples: are they finite, what are their statistics, which are they."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backprop_cli.errors import DataError
from backprop_cli.sources.source import Dataset, Source
from backprop_cli.sources.statistics import Moments, Standardization, standardization

_CHUNK_BYTES = 16_000_000


@dataclass(frozen=True)
class Survey:
    """What one pass over a data set found.

    Attributes
    ----------
    standardization
        Of the training split.
    fingerprint
        SHA-256 of all examples, labels and splits, and of the names of the classes. It depends on
        values and their type alone, not on files or their layout.
    """

    standardization: Standardization
    fingerprint: str


def survey(dataset: Dataset, standardize: str, dtype: DTypeLike) -> Survey:
    """Read every source once, from its first row to its last.

    Parameters
    ----------
    dataset
        Its training split alone gives the statistics.
    standardize
        none, per_feature or per_channel.
    dtype
        What will be computed in: every feature must be finite in it.

    Raises
    ------
    DataError
        A feature is not finite, or there is nothing to standardize by; names file and feature.
    """
    d, train = dataset.n_features, dataset.train
    moments = None
    if standardize != "none":
        moments = Moments(len(train), d, train.features.dtype)
    digests: dict[int, bytes] = {}
    # Overflow is looked for in the results.
    quiet = np.errstate(over="ignore", invalid="ignore")
    with quiet, ThreadPoolExecutor(1, "backprop-hash") as hashing:
        for source in dataset.sources():
            rows = train.rows if source is train.source else None
            digests[id(source)] = _read(source, np.dtype(dtype), moments, rows, hashing)
        if moments is None:
            found = Standardization(np.zeros(d), np.ones(d))
        else:
            found = standardization(moments, standardize, dataset.image)
    return Survey(found, _fingerprint(dataset, digests))


def _read(
    source: Source,
    dtype: np.dtype[Any],
    moments: Moments | None,
    counted: NDArray[np.intp] | None,
    hashing: ThreadPoolExecutor,
) -> bytes:
    """Check a source's features, add the rows that count to the moments, return a digest.

    Hashing takes about as long as the rest, and has a core of its own where there is one.
    """
    digest = _begun(source.features)
    pending: Future[None] | None = None
    for start, chunk in _chunks(source.features):
        check_finite(chunk, dtype, source.name, start)
        if pending is not None:
            pending.result()
        pending = hashing.submit(_update, digest, chunk)
        if moments is not None and counted is not None:
            first, last = np.searchsorted(counted, [start, start + len(chunk)])
            own = counted[first:last] - start
            moments.add(chunk if len(own) == len(chunk) else chunk[own])
    if pending is not None:
        pending.result()
    whole: bytes = digest.digest()
    return whole


def check_finite(features: NDArray[Any], dtype: np.dtype[Any], name: str, first: int = 0) -> None:
    """Refuse features that are not finite in ``dtype``.

    Parameters
    ----------
    features
        n x d.
    dtype
        What will be computed in.
    name
        Whose they are, for the message.
    first
        The row that the first of them is.
    """
    if features.dtype.kind != "f":
        return
    largest = np.finfo(dtype).max
    for start, chunk in _chunks(features):
        good = np.isfinite(chunk)
        if features.dtype.itemsize > dtype.itemsize:
            good &= np.abs(chunk) <= largest
        if not good.all():
            row, column = np.argwhere(~good)[0]
            raise DataError(
                f"{name}: features[{first + start + row}, {column}] is {chunk[row, column]}, "
                f"expected numbers that are finite in {dtype.name}"
            )


def _chunks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    step = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        yield start, array[start : start + step]


def _fingerprint(dataset: Dataset, digests: dict[int, bytes]) -> str:
    total = hashlib.sha256(repr((dataset.class_names, dataset.image_shape)).encode())
    for split in (dataset.train, dataset.validation, dataset.test):
        if split is None:
            total.update(b"no such split")
            continue
        total.update(digests[id(split.source)])
        for array in (split.source.labels, split.rows):
            digest = _begun(array)
            _update(digest, array)
            total.update(digest.digest())
    return total.hexdigest()


def _begun(array: NDArray[Any]) -> Any:
    native = array.dtype.newbyteorder("<")
    return hashlib.sha256(repr((array.shape, native.str)).encode())


def _update(digest: Any, array: NDArray[Any]) -> None:
    digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
