"""The data that every contender trains on, and the order it takes them in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config, check_config
from backprop_cli.formats import load_dataset
from backprop_cli.sources import Dataset, epoch_order, fit_standardization
from backprop_cli.sources.dataset import Split


@dataclass(frozen=True)
class Workload:
    """What to train, told to every process in the same words.

    ``data`` is a folder with CIFAR-10, or None for random bytes of n x d and C classes.
    """

    data: str | None = None
    n: int = 50_000
    d: int = 3072
    n_classes: int = 10
    batch_size: int = 100
    loss: str = "softmax_cross_entropy"
    learning_rate: float = 0.001
    n_models: int = 1
    threads: int = 2

    def config(self, backend: str = "numpy", learning_rate: float | None = None) -> Config:
        """Return the config of one model."""
        where = f"cifar10, path: '{self.data}'" if self.data else "npy, path: x, labels: y"
        return check_config(
            f"""
data: {{format: {where}, validation: 0, standardize: per_feature}}
loss: {self.loss}
compute: {{backend: {backend}, threads: {self.threads}}}
training:
  batch_size: {self.batch_size}
  learning_rate: {learning_rate or self.learning_rate}
""",
            "benchmark",
        )

    def learning_rates(self) -> list[float]:
        """Return the rate of each model; the first has `learning_rate`."""
        return [self.learning_rate * (1 + m / 16) for m in range(self.n_models)]

    def dataset(self) -> Dataset:
        """Return the examples; images as bytes."""
        if self.data:
            return load_dataset(self.config().data, "float32")
        rng = np.random.default_rng(0)
        features = rng.integers(0, 256, (self.n, self.d), dtype=np.uint8)
        labels = rng.integers(0, self.n_classes, self.n)
        labels[: self.n_classes] = np.arange(self.n_classes)
        names = tuple(str(k) for k in range(self.n_classes))
        return Dataset(Split(features, labels, np.arange(self.n)), None, None, names, None)

    def standardized(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the examples as float32, standardized as a peer would have them in memory."""
        train = self.dataset().train
        statistics = fit_standardization(self.dataset(), "per_feature")
        x = train.features[train.rows].astype(np.float32)
        x -= statistics.mean.astype(np.float32)
        x /= statistics.std.astype(np.float32)
        return x, train.own_labels()

    def order(self, epoch: int) -> NDArray[np.intp]:
        """Return the order of an epoch, the same for everyone."""
        return epoch_order(np.arange(self.n), 42, epoch)
