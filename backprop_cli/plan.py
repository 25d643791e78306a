"""Which examples every step takes: a function of seed, epoch and rank alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.rng import Stream, generator
from backprop_cli.sources import Block, Split


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
        Each of ``size`` processes takes its share of every mini-batch.
    """

    split: Split
    batch_size: int
    seed: int
    flips: bool = False
    rank: int = 0
    size: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """How many mini-batches an epoch has."""
        return math.ceil(len(self.split) / self.batch_size)

    def epoch(self, epoch: int) -> Batches:
        """Return this rank's share of an epoch; ``epoch`` counts from 0."""
        order = generator(self.seed, Stream.ORDER, epoch).permutation(self.split.rows)
        mirrored = None
        if self.flips:
            mirrored = generator(self.seed, Stream.FLIPS, epoch).random(len(order)) < 0.5
        edges = np.minimum(np.arange(self.steps_per_epoch + 1) * self.batch_size, len(order))
        batches = Batches(self.split.source.block(order, mirrored), edges)
        return batches if self.size == 1 else self._share(batches)

    def _share(self, batches: Batches) -> Batches:
        sizes = np.diff(batches.starts)
        first = batches.starts[:-1] + self.rank * sizes // self.size
        last = batches.starts[:-1] + (self.rank + 1) * sizes // self.size
        own = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
        rows, mirrored = batches.block.rows[own], batches.block.mirrored
        mirrored = None if mirrored is None else mirrored[own]
        starts = np.concatenate([[0], np.cumsum(last - first)])
        return Batches(self.split.source.block(rows, mirrored), starts)
