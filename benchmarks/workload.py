"""The data that every contender trains on, and the order it takes them in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.data import Cifar10Data
from backprop_cli.formats import load_dataset
from backprop_cli.rng import Stream, generator
from backprop_cli.sources import Dataset, Source, Split, Standardization, survey

SEED = 42  # of the order of the examples


@dataclass(frozen=True)
class Workload:
    """What to train, told to every process in the same words.

    ``data`` is a folder with CIFAR-10, or None for random features of n x d and C classes, of type
    ``dtype``.
    """

    data: str | None = None
    n: int = 50_000
    d: int = 3072
    dtype: str = "uint8"
    n_classes: int = 10
    batch_size: int = 100
    loss: str = "softmax_cross_entropy"
    learning_rate: float = 0.001
    n_models: int = 1
    threads: int = 2

    def learning_rates(self) -> list[float]:
        """Return the rate of each model; the first has `learning_rate`."""
        return [self.learning_rate * (1 + m / 16) for m in range(self.n_models)]

    def dataset(self) -> Dataset:
        """Return the examples as they are stored."""
        if self.data:
            return load_dataset(Cifar10Data(format="cifar10", path=self.data, validation=0))
        rng = np.random.default_rng(0)
        features = rng.integers(0, 256, (self.n, self.d), dtype=np.uint8).astype(self.dtype)
        labels = rng.integers(0, self.n_classes, self.n)
        labels[: self.n_classes] = np.arange(self.n_classes)
        names = tuple(str(k) for k in range(self.n_classes))
        split = Split(Source(features, labels, "random features"), np.arange(self.n))
        return Dataset(split, None, None, names)

    def standardization(self) -> Standardization:
        """Return the mean and standard deviation of each feature."""
        return survey(self.dataset(), "per_feature", "float32").standardization

    def standardized(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the examples as float32, standardized as a peer would have them in memory."""
        dataset, found = self.dataset(), self.standardization()
        x = dataset.train.own_features().astype(np.float32)
        x -= found.mean.astype(np.float32)
        x /= found.std.astype(np.float32)
        return x, dataset.train.own_labels()

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of an epoch, the same for every contender: that of `Plan.epoch`."""
        return generator(SEED, Stream.ORDER, epoch).permutation(self.n)
