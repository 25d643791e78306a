"""Examples as they are stored, and the splits of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backprop_cli.sources.image import ImageLayout
from backprop_cli.sources.watched import WatchedFile


class Block(NamedTuple):
    """Some examples of a block of a source, in the order in which they are to be taken.

    Attributes
    ----------
    features
        N x d, the whole block, as it is stored: any real dtype, in memory or a mapped file.
    labels
        N class numbers, int64.
    rows
        n of the N rows.
    mirrored
        Which of the n images are mirrored; None: none.
    example_weights
        N factors on the losses in training; None: 1.
    """

    features: NDArray[Any]
    labels: NDArray[np.int64]
    rows: NDArray[np.intp]
    mirrored: NDArray[np.bool_] | None = None
    example_weights: NDArray[np.float64] | None = None

    def part(self, start: int, end: int) -> Block:
        """Return examples start to end of the n."""
        mirrored = None if self.mirrored is None else self.mirrored[start:end]
        return self._replace(rows=self.rows[start:end], mirrored=mirrored)


@dataclass(frozen=True)
class Source:
    """Examples that belong together: those of a file, or of several files of one format.

    A source hands out its rows in blocks. Arrays in memory and mapped files are a single block.

    Attributes
    ----------
    features
        N x d, any real dtype.
    labels
        N integers, int64; none where examples are to be classified.
    name
        The file, or files, they come from, for messages.
    image
        How an example's features are an image; None for plain features.
    files
        The files that are read while the source is used.
    example_weights
        N factors >= 0 on the losses of examples that are trained on, float64; None: 1.
    """

    features: NDArray[Any]
    labels: NDArray[np.int64]
    name: str
    image: ImageLayout | None = None
    files: tuple[WatchedFile, ...] = ()
    example_weights: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def check_unchanged(self) -> None:
        """Refuse to go on if a file was changed while it was used; a DataError names it."""
        for file in self.files:
            file.check()

    def block(self, rows: NDArray[np.intp], mirrored: NDArray[np.bool_] | None = None) -> Block:
        """Return some rows of the source, in this order."""
        return Block(self.features, self.labels, rows, mirrored, self.example_weights)


@dataclass(frozen=True)
class Split:
    """Some of the examples of a source, by their rows: nothing is copied.

    Attributes
    ----------
    source
        May be shared with other splits.
    rows
        The rows that belong to this split, ascending; n of N.
    """

    source: Source
    rows: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def features(self) -> NDArray[Any]:
        """The source's features, N x d."""
        return self.source.features

    def own_labels(self) -> NDArray[np.int64]:
        """Return the labels of the split's examples, n."""
        return self.source.labels[self.rows]

    def block(self, start: int, end: int) -> Block:
        """Return examples start to end of the split, in ascending order."""
        return self.source.block(self.rows[start:end])


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test examples, of the same d features and C classes."""

    train: Split
    validation: Split | None
    test: Split | None
    class_names: tuple[str, ...]

    @property
    def n_features(self) -> int:
        """The number of features, d."""
        return int(self.train.features.shape[1])

    @property
    def n_classes(self) -> int:
        """The number of classes, C."""
        return len(self.class_names)

    @property
    def image(self) -> ImageLayout | None:
        """How examples are images; None for plain features."""
        return self.train.source.image

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width), or None for plain features."""
        return None if self.image is None else self.image.shape

    def split(self, name: str) -> Split | None:
        """Return the split called train, validation or test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def splits(self) -> list[Split]:
        """Return the splits that there are."""
        return [s for s in (self.train, self.validation, self.test) if s is not None]

    def check_unchanged(self) -> None:
        """Refuse to go on if a file was changed while it was used; a DataError names it."""
        for source in self.sources():
            source.check_unchanged()

    def sources(self) -> list[Source]:
        """Return the sources of all splits, each once."""
        return list({id(split.source): split.source for split in self.splits()}.values())
