"""Examples as they are stored, and the splits of a data set."""

from __future__ import annotations

import collections
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backprop_cli.sources.image import ImageLayout
from backprop_cli.sources.scattered import Scattered
from backprop_cli.sources.stored import Part, StoredFeatures
from backprop_cli.sources.watched import WatchedFile

Features: TypeAlias = NDArray[Any] | StoredFeatures
Wanted: TypeAlias = tuple[NDArray[np.intp], NDArray[np.bool_] | None]
"""Rows, and which of them are mirrored."""
FileRows: TypeAlias = tuple[tuple[str, int], ...]
"""The name and the number of rows of each of several files, in their order; none for one file."""


class Block(NamedTuple):
    """Some examples of a block of a source, in the order in which they are to be taken.

    Attributes
    ----------
    features
        N x d, the whole block, as it is stored: any real dtype, in memory or in mapped files.
    labels
        N class numbers, int64.
    rows
        n of the N rows.
    mirrored
        Which of the n images are mirrored; None: none.
    example_weights
        N factors on the losses in training; None: 1.
    """

    features: NDArray[Any] | Scattered
    labels: NDArray[np.int64]
    rows: NDArray[np.intp]
    mirrored: NDArray[np.bool_] | None = None
    example_weights: NDArray[np.float64] | None = None

    def part(self, start: int, end: int) -> Block:
        """Return examples start to end of the n."""
        mirrored = None if self.mirrored is None else self.mirrored[start:end]
        return self._replace(rows=self.rows[start:end], mirrored=mirrored)


def place_in(parts: FileRows, row: int) -> tuple[str, int] | None:
    """Return which of several files, of so many rows each, a row comes from, and which it is."""
    for name, n_rows in parts:
        if row < n_rows:
            return name, row
        row -= n_rows
    return None


@dataclass(frozen=True)
class Source:
    """Examples that belong together: those of a file, or of several files of one format.

    A source hands out its rows in blocks. An array, in memory or mapped, is a single block. Of
    features that stay in their files, a block has the rows that are asked for, and no others.

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
    parts
        Where there are several files: each one's name and number of rows, in their order.
    """

    features: Features
    labels: NDArray[np.int64]
    name: str
    image: ImageLayout | None = None
    files: tuple[WatchedFile, ...] = ()
    example_weights: NDArray[np.float64] | None = None
    parts: FileRows = ()

    def place(self, row: int) -> tuple[str, int]:
        """Return the file that a row comes from, and which of its rows it is, for messages."""
        return place_in(self.parts, row) or (self.name, row)

    def __len__(self) -> int:
        return len(self.features)

    def check_unchanged(self) -> None:
        """Refuse to go on if a file was changed while it was used; a DataError names it."""
        for file in self.files:
            file.check()

    @property
    def by_rows(self) -> bool:
        """Whether the numbers of an example stand together in a block."""
        return isinstance(self.features, StoredFeatures) or self.features.flags.c_contiguous

    def block(self, rows: NDArray[np.intp], mirrored: NDArray[np.bool_] | None = None) -> Block:
        """Return some rows of the source, in this order."""
        if isinstance(self.features, StoredFeatures):
            own = np.unique(rows)
            return self._stored_block(Part(self.features.gather(own), own), rows, mirrored)
        return Block(self.features, self.labels, rows, mirrored, self.example_weights)

    def blocks(
        self, wanted: Iterable[Wanted], waiting: Callable[[], None] | None = None
    ) -> Iterator[Block]:
        """Yield a block for each request; it may be overwritten after the next is asked for.

        Parameters
        ----------
        wanted
            Rows, and which of them are mirrored.
        waiting
            Called now and then while nothing is done but reading; may raise KeyboardInterrupt.
        """
        if not isinstance(self.features, StoredFeatures):
            for rows, mirrored in wanted:
                yield self.block(rows, mirrored)
            return
        asked: collections.deque[Wanted] = collections.deque()

        def noted() -> Iterator[NDArray[np.intp]]:
            for request in wanted:
                asked.append(request)
                yield request[0]

        for part in self.features.read_ahead(noted(), waiting):
            yield self._stored_block(part, *asked.popleft())

    def _stored_block(
        self,
        part: Part,
        rows: NDArray[np.intp],
        mirrored: NDArray[np.bool_] | None,
    ) -> Block:
        """Return a block of what was read."""
        labels, weights, own = self.labels, self.example_weights, part.rows
        if own is None:
            return Block(part.features, labels, rows, mirrored, weights)
        return Block(
            part.features,
            labels[own] if len(labels) else labels,
            np.searchsorted(own, rows),
            mirrored,
            None if weights is None else weights[own],
        )

    def gather(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return the features of some rows, n x d, in this order."""
        block = self.block(rows)
        found: NDArray[Any] = block.features[block.rows]
        return found

    def chunks(self, chunk_bytes: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield all features, about ``chunk_bytes`` at once: the first row's number, and rows."""
        n, d = self.features.shape
        step = max(1, chunk_bytes // max(1, d * self.features.dtype.itemsize))
        start = 0
        for block in Split(self, np.arange(n)).blocks(step):
            rows = block.rows
            yield start, block.features[rows[0] : rows[-1] + 1]
            start += len(rows)


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
    def features(self) -> Features:
        """The source's features, N x d."""
        return self.source.features

    def own_labels(self) -> NDArray[np.int64]:
        """Return the labels of the split's examples, n."""
        return self.source.labels[self.rows]

    def own_features(self) -> NDArray[Any]:
        """Return the features of the split's examples, n x d, all of them in memory."""
        return self.source.gather(self.rows)

    def block(self, start: int, end: int) -> Block:
        """Return examples start to end of the split, in ascending order."""
        return self.source.block(self.rows[start:end])

    def blocks(
        self,
        at_once: int,
        start: int = 0,
        end: int | None = None,
        waiting: Callable[[], None] | None = None,
    ) -> Generator[Block, None, None]:
        """Yield examples start to end, in ascending order, at most ``at_once`` in a block.

        A block may be overwritten after the next is asked for; ``waiting`` is as for
        `Source.blocks`.
        """
        end, together = len(self) if end is None else end, at_once
        if isinstance(self.features, StoredFeatures):
            at_once, together = self.features.portions(at_once)
        wanted = (
            (self.rows[k : min(k + together, end)], None) for k in range(start, end, together)
        )
        for block in self.source.blocks(wanted, waiting):
            for k in range(0, len(block.rows), at_once):
                yield block.part(k, min(k + at_once, len(block.rows)))

    def without_features(self) -> Block:
        """Return all examples without their features, which are not read: N x 0."""
        nothing = np.empty((len(self.source), 0), self.features.dtype)
        own = self.source
        return Block(nothing, own.labels, self.rows, None, own.example_weights)


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

    @property
    def memory(self) -> int | None:
        """The bytes that features may have in memory; None where all of them are there."""
        stored = (s.features for s in self.sources() if isinstance(s.features, StoredFeatures))
        return next((features.memory for features in stored), None)

    def sources(self) -> list[Source]:
        """Return the sources of all splits, each once."""
        return list({id(split.source): split.source for split in self.splits()}.values())
