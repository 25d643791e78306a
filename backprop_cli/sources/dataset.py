"""What a format reader returns, and what training gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Examples:
    """Features and labels as a file has them.

    Attributes
    ----------
    features
        n x d, any real dtype; images as channel planes, each row by row.
    labels
        n integers, int64.
    name
        The file, or files, they come from, for messages.
    """

    features: NDArray[Any]
    labels: NDArray[np.int64]
    name: str

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Parts:
    """What the files of a config hold, before anything is held out.

    Attributes
    ----------
    train
        The training files' examples.
    validation, test
        Those of named files; None where the part is to be held out of ``train``.
    class_names
        None where the format does not tell.
    image_shape
        (channels, height, width), or None where features are no image.
    """

    train: Examples
    validation: Examples | None
    test: Examples | None
    class_names: tuple[str, ...] | None
    image_shape: tuple[int, int, int] | None


@dataclass(frozen=True)
class Split:
    """Some of the examples of a file, by their rows: nothing is copied.

    Attributes
    ----------
    features
        N x d, shared with other splits.
    labels
        N, shared with other splits.
    rows
        The rows that belong to this split, ascending; n of N.
    """

    features: NDArray[Any]
    labels: NDArray[np.int64]
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    def own_labels(self) -> NDArray[np.int64]:
        """Return the labels of the split's examples, n."""
        return self.labels[self.rows]


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test examples, of the same d features and C classes."""

    train: Split
    validation: Split | None
    test: Split | None
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None

    @property
    def n_features(self) -> int:
        """D, the number of features."""
        return int(self.train.features.shape[1])

    @property
    def n_classes(self) -> int:
        """C, the number of classes."""
        return len(self.class_names)

    def split(self, name: str) -> Split | None:
        """Return the split called train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]
