"""The training examples of a process: how they are read, and what is known before any pass."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np

from backprop_cli.communicator import Communicator, own_share
from backprop_cli.engine import Targets
from backprop_cli.losses import Loss, Vector
from backprop_cli.settings import Settings
from backprop_cli.solvers.shares import Shares, Tell
from backprop_cli.solvers.start import training_targets
from backprop_cli.sources import Block, Dataset, Standardization, StoredFeatures

_BLOCK_NUMBERS = {"numpy": 400_000, "compiled": 25_000_000}
"""Features and scores of a block. NumPy converts a block before it reads it: in the cache."""
_MIN_BLOCK = 64  # examples
MAX_BLOCK = 8192
"""Examples of a block, at most."""
_MOST_SCORES = 4_000_000  # of a block: some six matrices of its size are held at once
_FEW_BLOCKS = 8  # of a thread: they take as long as threads take to start
_MOST_GRADIENTS = 20_000_000  # numbers of dW that all threads may have together
_LEAST_SHARE = 1e-10  # of a class that does not occur: its bias would be minus infinity


class TrainingExamples:
    """The training examples of any of M models, shared out over processes and threads.

    Parameters
    ----------
    dataset, settings, standardization, communicator, threads
        As for training.
    tell
        As in `Shares`: of all blocks; may raise KeyboardInterrupt.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        standardization: Standardization,
        communicator: Communicator,
        threads: int,
        tell: Tell,
    ) -> None:
        self._dataset, self._settings = dataset, settings
        self._standardization, self._communicator = standardization, communicator
        self._threads, self.tell = threads, tell
        self._mean_targets: dict[int, Vector] = {}
        self._reach: float | None = None
        # Models of one path take turns.
        self._together = list({model.path(): m for m, model in enumerate(settings.models)}.values())
        self._K = len(self._together) * dataset.n_classes
        self._first, self._last = own_share(communicator, len(dataset.train))

    @property
    def n_local(self) -> int:
        """How many training examples this process reads."""
        return self._last - self._first

    def l2(self, m: int) -> float:
        """Return lambda of a model."""
        return self._settings.models[m].l2

    def loss(self, m: int) -> Loss:
        """Return the loss of a model."""
        return self._settings.models[m].loss

    def mean(self, total: Vector) -> Vector:
        """Return the mean per training example from this process's part of a sum."""
        return self._communicator.sum(total)[0] / len(self._dataset.train)

    def mean_targets(self, m: int) -> Vector:
        """Return the mean of v y over the training examples, C numbers."""
        if m in self._mean_targets:
            return self._mean_targets[m]
        total, targets = np.zeros(self._dataset.n_classes), self._targets(m)
        own = self._dataset.train.without_features()
        at_once = min(MAX_BLOCK, _MOST_SCORES // self._dataset.n_classes)
        for first in range(self._first, self._last, at_once):
            block = own.part(first, min(first + at_once, self._last))
            Y, v = weighted(targets, block)
            total += Y[0] @ v
        self._mean_targets[m] = self.mean(total)
        return self._mean_targets[m]

    def start(self, m: int) -> Vector:
        """Return the theta that descent starts from: W = 0, and the b that is best with it.

        With W = 0 all examples have the probabilities SoftMax(b), best equal to the mean target.
        """
        shares = self.mean_targets(m)
        b = np.log(np.maximum(shares / shares.sum(), _LEAST_SHARE))
        b = b[1:] - b[:1] if self._settings.single_output else b - b.mean()
        theta = np.zeros((len(b), self._dataset.n_features + 1))
        theta[:, -1] = b
        return theta

    def curvatures(self, m: int) -> Vector:
        """Return the mean curvature of the loss by each score, O numbers, at the start."""
        shares = self.mean_targets(m)
        p = shares / shares.sum()
        kappa: Vector = shares.sum() * np.maximum(p * (1 - p), _LEAST_SHARE)
        return kappa[1:] if self._settings.single_output else kappa

    def reach(self) -> float:
        """Return a bound on the mean of v |x|: the root of the mean of v^2 times that of |x|^2."""
        if self._reach is None:
            squares = weights = 0.0
            mean, std = self._standardization.mean, self._standardization.std
            standardized = self._settings.standardize != "none"  # the mean of |x|^2 is at most d
            targets = self._targets(0)
            for block in self._blocks(self._rows_at_once("numpy")):
                _, v = weighted(targets, block)
                weights += float(v @ v)
                if not standardized:
                    x = (block.features[block.rows].astype(np.float64) - mean) / std
                    squares += float(np.einsum("ij,ij->", x, x))
                    self.tell(1)
            own = self.mean(np.array([squares, weights]))
            self._reach = float(np.sqrt((len(mean) if standardized else own[0]) * own[1]))
        return self._reach

    def _targets(self, m: int) -> Targets:
        own = dataclasses.replace(self._settings_of((m,)), dtype="float64")
        return training_targets(own, self._dataset)

    def _rows_at_once(self, engine: str) -> int:
        """Return how many examples a block has for an engine."""
        rows = _BLOCK_NUMBERS[engine] // (self._dataset.n_features + 2 * self._K)
        # No fewer than rows of W: to add a block's dW to the sum reads as much as the block.
        least = min(self._K, _MOST_SCORES // self._K)
        return min(MAX_BLOCK, max(_MIN_BLOCK, least, rows))

    def _by_numpy(self) -> Shares:
        """Return the shares of a pass by NumPy: a single one, where there are few blocks for each.

        Where blocks are read from files, with little memory, one thread takes all shares, one after
        the other. The sums are the same, to the last bit.
        """
        features, at_once = self._dataset.train.features, self._rows_at_once("numpy")
        few = self.n_local < _FEW_BLOCKS * self._threads * at_once
        gradients = _MOST_GRADIENTS // (self._K * self._dataset.n_features)
        number = 1 if few else max(1, min(self._threads, gradients))
        if isinstance(features, StoredFeatures) and features.passes_at_once(at_once) < number:
            return Shares(self._first, self._last, number, 1)
        return Shares(self._first, self._last, number, number)

    def _blocks(self, rows: int) -> Iterator[Block]:
        """Yield this process's examples, so many at once."""
        waiting = functools.partial(self.tell, 0)
        yield from self._dataset.train.blocks(rows, self._first, self._last, waiting)

    def _settings_of(self, models: Sequence[int]) -> Settings:
        own = tuple(self._settings.models[m] for m in models)
        return dataclasses.replace(self._settings, models=own)


def weighted(targets: Targets, block: Block) -> tuple[Vector, Vector]:
    """Return the columns of Y, 1 x C x n, and the weight v of each example, n."""
    v = targets.example_weights(block)
    Y = targets.columns(block.labels[block.rows]).astype(np.float64)
    return Y, np.ones(Y.shape[2]) if v is None else v.astype(np.float64)
