"""Arrays of an estimator as a data set: nothing is copied."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_X_y

from backprop_cli.errors import DataError
from backprop_cli.settings import Settings
from backprop_cli.sources import MIN_STD, Source, Split, Standardization, check_features

_CHUNK_BYTES = 2_000_000


def as_features(X: NDArray[Any]) -> NDArray[Any]:
    """Return features of a type that training takes: as they are, but for longdouble."""
    return X if X.dtype.kind in "biuf" and X.dtype.itemsize <= 8 else X.astype(np.float64)


def training_split(
    X: NDArray[Any], codes: NDArray[np.int64], weights: NDArray[np.float64] | None
) -> Split:
    """Return the examples to train on; those without weight are left out.

    Parameters
    ----------
    X
        Features, n x d.
    codes
        Class numbers, n.
    weights
        Factors >= 0 on the losses, n. They are divided by their mean, so that an example of weight
        2 counts as much as two examples. None: 1.
    """
    if weights is None:
        return Split(Source(X, codes, "X"), np.arange(len(X)))
    rows = np.flatnonzero(weights > 0)
    if (weights[rows] == weights[rows[0]]).all():
        return Split(Source(X, codes, "X"), rows)
    relative = weights / weights.max()  # whose sum is finite
    return Split(Source(X, codes, "X", example_weights=relative / relative[rows].mean()), rows)


def validation_split(X: Any, y: Any, classes: NDArray[Any], n_features: int) -> Split | None:
    """Return the user's validation set, checked; None if there is none."""
    if (X is None) != (y is None):
        raise DataError("X_val, y_val: expected both or none")
    if X is None:
        return None
    X, y = check_X_y(X, y, dtype="numeric")
    if X.shape[1] != n_features:
        raise DataError(f"X_val: expected {n_features} features as in X, found {X.shape[1]}")
    codes = label_codes(y, classes, "y_val")
    return Split(Source(as_features(X), codes, "X_val"), np.arange(len(X)))


def label_codes(y: NDArray[Any], classes: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Return the number of each label's class.

    Raises
    ------
    DataError
        A label is not one of ``classes``, which are sorted.
    """
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise DataError(
            f"{name}: expected the classes {_listed(classes)}, found also {_listed(unknown)}"
        )
    return np.searchsorted(classes, y).astype(np.int64)


def _listed(labels: NDArray[Any]) -> str:
    shown = ", ".join(repr(label) for label in labels[:5].tolist())
    return f"{shown} and {len(labels) - 5} more" if len(labels) > 5 else shown


def known_standardization(split: Split, settings: Settings) -> Standardization | None:
    """Return the standardization where weights have a part in it; None: training finds it."""
    if split.source.example_weights is None:
        return None
    d = split.features.shape[1]
    plain = settings.standardize == "none"
    found = Standardization(np.zeros(d), np.ones(d)) if plain else _weighted(split)
    check_features(split.source, found, settings.dtype)
    return found


def _weighted(split: Split) -> Standardization:
    """Return the weighted means and standard deviations of a split's features.

    They are those of the data in which every example occurs as often as its weight says.
    """
    v = split.source.example_weights
    if v is None:
        raise ValueError("expected example weights")
    source, d = split.source, split.features.shape[1]
    first = source.gather(split.rows[:1])[0].astype(np.float64)
    mean, variance, constant = np.zeros(d), np.zeros(d), np.ones(d, bool)
    step = max(1, _CHUNK_BYTES // (8 * d))
    parts = [split.rows[start : start + step] for start in range(0, len(split), step)]
    for rows in parts:
        shifted = source.gather(rows).astype(np.float64) - first
        mean += v[rows] @ shifted
        constant &= (shifted == 0).all(axis=0)
    total = v[split.rows].sum()
    mean = first + mean / total
    for rows in parts:
        variance += v[rows] @ (source.gather(rows) - mean) ** 2
    std = np.sqrt(variance / total)
    std[constant | (std < MIN_STD)] = 1.0
    return Standardization(mean, std)


def several(classes: NDArray[Any], name: str) -> NDArray[Any]:
    """Return the classes; refuse fewer than two."""
    if len(classes) < 2:
        raise DataError(f"{name}: expected at least two classes, found one class")
    return classes


def names(classes: NDArray[Any]) -> tuple[str, ...]:
    """Return the classes as text."""
    return tuple(str(label) for label in classes)
