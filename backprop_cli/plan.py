"""Which examples every step takes: a function of seed, epoch and rank alone."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import ConfigError
from backprop_cli.rng import Stream, generator
from backprop_cli.sources import Block, Split, StoredFeatures
from backprop_cli.sources.source import Wanted

_BLOCKS = 64  # of a buffer, if they have
_MIN_BLOCK, _MAX_BLOCK = 65_536, 16_000_000  # bytes; and never fewer than
_MIN_BLOCKS = 16


@dataclass(frozen=True)
class Batches:
    """Mini-batches that follow each other.

    Attributes
    ----------
    block
        Their examples, one mini-batch after the other.
    starts
        Where each mini-batch begins among them, and where the last one ends; steps + 1 numbers.
    """

    block: Block
    starts: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def batch(self, k: int) -> Block:
        """Return the examples of one mini-batch."""
        return self.block.part(int(self.starts[k]), int(self.starts[k + 1]))

    def some(self, first: int, last: int) -> Batches:
        """Return mini-batches first to last."""
        starts = self.starts[first : last + 1]
        return Batches(self.block.part(int(starts[0]), int(starts[-1])), starts - starts[0])


@dataclass(frozen=True)
class Shuffle:
    """How far the order of an epoch is random.

    An epoch takes the blocks in a random order, gathers them in buffers, and each buffer's examples
    in a random order. Where all examples are in memory, they are one block and one buffer.

    Attributes
    ----------
    n_examples
        Of an epoch.
    block
        How many neighbouring examples stay together until they are in a buffer.
    buffer
        How many examples are shuffled together; whole mini-batches.
    """

    n_examples: int
    block: int
    buffer: int

    @classmethod
    def of(cls, split: Split, batch_size: int) -> Shuffle:
        """Return the shuffle of a split: of two buffers, one is read while one is in use.

        Raises
        ------
        ConfigError
            A mini-batch is larger than a buffer.
        """
        n, features = len(split), split.features
        if not isinstance(features, StoredFeatures):
            return cls(n, n, n)
        size = features.memory // 2
        steps = size // (features.row_bytes * batch_size)
        if not steps:
            need = 2 * features.row_bytes * batch_size
            raise ConfigError(
                f"data.memory: expected {need} bytes or more, which is two mini-batches, found "
                f"{features.memory}"
            )
        block = min(max(size // _BLOCKS, _MIN_BLOCK), _MAX_BLOCK, size // _MIN_BLOCKS)
        block //= features.row_bytes
        return cls(n, max(1, min(block, n)), min(steps * batch_size, n))

    @property
    def is_full(self) -> bool:
        """Whether every order of the examples can occur."""
        return self.buffer >= self.n_examples

    def to_mapping(self) -> dict[str, int]:
        """Return the sizes as plain Python objects."""
        return {"block": self.block, "buffer": self.buffer, "examples": self.n_examples}

    def line(self) -> str:
        """Return the shuffle in words."""
        blocks, buffers = (-(-self.n_examples // size) for size in (self.block, self.buffer))
        return (
            f"{blocks} blocks of {self.block} examples, in {buffers} buffers of {self.buffer} "
            "(data.memory)"
        )

    def buffers(self, seed: int, epoch: int) -> Iterator[NDArray[np.intp]]:
        """Yield the examples of each buffer of an epoch: numbers from 0, ascending."""
        n, block = self.n_examples, self.block
        if self.is_full:
            yield np.arange(n)
            return
        order = generator(seed, Stream.BLOCKS, epoch).permutation(math.ceil(n / block))
        starts = order * block
        sizes = np.minimum(starts + block, n) - starts
        ends = np.cumsum(sizes)
        for first in range(0, n, self.buffer):
            last = min(first + self.buffer, n)
            a, b = np.searchsorted(ends, [first, last - 1], side="right")
            # What belongs to the buffer of blocks a to b; the outer ones may be shared.
            places = zip(starts[a : b + 1], ends[a : b + 1], sizes[a : b + 1], strict=True)
            parts = [
                np.arange(max(first - (end - size), 0), min(last - (end - size), size)) + start
                for start, end, size in places
            ]
            yield np.sort(np.concatenate(parts))


@dataclass(frozen=True)
class Plan:
    """The order of the examples of a split, their mini-batches, and which images are mirrored.

    Every epoch takes all examples once, in an order of its own. Any epoch can be drawn without the
    ones before it, so a run that was interrupted goes on with the same mini-batches.

    Attributes
    ----------
    split
        The training examples.
    batch_size
        Examples per step, over all ranks; the last step of an epoch may have fewer.
    seed
        Of the order and of the mirroring.
    flips
        Whether each image is mirrored with probability 1/2.
    rank, size
        Each of ``size`` processes takes its share of every mini-batch: its lowest rows, the next
        ones, and so on. So a process reads about the same part of the files in every epoch.
    """

    split: Split
    batch_size: int
    seed: int
    flips: bool = False
    rank: int = 0
    size: int = 1

    @functools.cached_property
    def shuffle(self) -> Shuffle:
        """How far the order is random."""
        return Shuffle.of(self.split, self.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """How many mini-batches an epoch has."""
        return math.ceil(len(self.split) / self.batch_size)

    def epoch(self, epoch: int) -> Batches:
        """Return the first part of an epoch, all of it where the examples are in memory."""
        return next(self.parts(epoch))[1]

    def parts(
        self, epoch: int, first_step: int = 0, waiting: Callable[[], None] | None = None
    ) -> Generator[tuple[int, Batches], None, None]:
        """Yield this rank's share of an epoch, buffer by buffer.

        Parameters
        ----------
        epoch
            Counts from 0.
        first_step
            Of the epoch: where to begin, with the whole buffer that has this step.
        waiting
            Called now and then while nothing is done but reading; may raise KeyboardInterrupt.

        Yields
        ------
        step
            Of the epoch: the first of the buffer.
        batches
            Its mini-batches. They may be overwritten after the next buffer is asked for.
        """
        steps = self.shuffle.buffer // self.batch_size
        first = 0 if self.shuffle.is_full else first_step // steps
        buffers = range(first, math.ceil(len(self.split) / self.shuffle.buffer))
        blocks = self.split.source.blocks(self._wanted(epoch, first), waiting)
        for number, block in zip(buffers, blocks, strict=True):
            _, starts = self._share(number)
            yield number * steps, Batches(block, starts)

    def _wanted(self, epoch: int, first: int) -> Iterator[Wanted]:
        """Yield this rank's rows of every buffer of an epoch, from the buffer ``first`` on."""
        size = self.shuffle.buffer
        flips = None
        if self.flips:
            flips = generator(self.seed, Stream.FLIPS, epoch).random(len(self.split)) < 0.5
        for number, own in enumerate(self.shuffle.buffers(self.seed, epoch)):
            if number < first:
                continue
            stream = (epoch, number) if number else (epoch,)
            order = generator(self.seed, Stream.ORDER, *stream).permutation(self.split.rows[own])
            mirrored = None if flips is None else flips[number * size : number * size + len(order)]
            share, _ = self._share(number)
            if self.size > 1:
                share = self._by_rows(order)[share]
            yield order[share], None if mirrored is None else mirrored[share]

    def _by_rows(self, order: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the places of a buffer's examples, in each mini-batch by their rows."""
        whole = len(order) - len(order) % self.batch_size
        places = np.argsort(order[:whole].reshape(-1, self.batch_size), axis=1)
        places += np.arange(0, whole, self.batch_size)[:, None]
        return np.concatenate([places.reshape(-1), whole + np.argsort(order[whole:])])

    def _share(self, number: int) -> tuple[NDArray[np.intp] | slice, NDArray[np.intp]]:
        """Return which examples of a buffer are this rank's, and where its mini-batches begin."""
        n = min(self.shuffle.buffer, len(self.split) - number * self.shuffle.buffer)
        edges = np.minimum(np.arange(math.ceil(n / self.batch_size) + 1) * self.batch_size, n)
        if self.size == 1:
            return slice(None), edges
        sizes = np.diff(edges)
        first = edges[:-1] + self.rank * sizes // self.size
        last = edges[:-1] + (self.rank + 1) * sizes // self.size
        own = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
        return own, np.concatenate([[0], np.cumsum(last - first)])
