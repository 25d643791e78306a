"""Sums over the whole training split, block by block, in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator
from backprop_cli.engine import ENGINES, Engine, Sums, Task, choose, class_scores
from backprop_cli.engine.numpy_engine import NumpyEngine
from backprop_cli.losses import Vector
from backprop_cli.settings import Settings
from backprop_cli.solvers.start import make_task, training_targets
from backprop_cli.sources import Block, Dataset, Standardization

_BLOCK_NUMBERS = 8_000_000  # features and scores of a block
_MIN_BLOCK, _MAX_BLOCK = 64, 4096  # examples
_PASSES = 30  # what `auto` expects, to choose an engine


class FullBatch:
    """The sums over all training examples, of any of M models.

    An engine computes the sums of a block in its number type; they are added in float64.

    Parameters
    ----------
    dataset, settings, standardization, communicator, threads
        As for training.
    tell
        Called after every block; may raise KeyboardInterrupt.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        standardization: Standardization,
        communicator: Communicator,
        threads: int,
        tell: Callable[[], None],
    ) -> None:
        self._dataset, self._settings = dataset, settings
        self._standardization, self._communicator = standardization, communicator
        self._threads, self._tell = threads, tell
        self._engines: dict[tuple[tuple[int, ...], str, str], Engine] = {}
        K = len(settings.models) * dataset.n_classes
        numbers = _BLOCK_NUMBERS // (dataset.n_features + 2 * K)
        self._rows = max(_MIN_BLOCK, min(_MAX_BLOCK, numbers))
        n, rank, size = len(dataset.train), communicator.rank, communicator.size
        self._first, self._last = rank * n // size, (rank + 1) * n // size

    @property
    def blocks_per_pass(self) -> int:
        """How many blocks this process reads in a pass."""
        return -(-(self._last - self._first) // self._rows)

    def chosen(self) -> str:
        """Return the name of the engine that the settings ask for, or that `auto` means."""
        everything = tuple(range(len(self._settings.models)))
        task = self._task(everything, self._settings.dtype)
        K = task.n_models * task.targets.n_classes
        work = 4.0 * len(self._dataset.train) * task.n_features * K * _PASSES
        return choose(task, self._settings.engine, work)

    def engine(self, models: Sequence[int], name: str, dtype: str) -> Engine:
        """Return an engine for some of the models; the last few are kept."""
        key = (tuple(models), name, dtype)
        if key not in self._engines:
            while len(self._engines) > 1:
                self._engines.pop(next(iter(self._engines)))
            task = self._task(key[0], dtype)
            self._engines[key] = ENGINES[name].make(task)
            if not self._engines[key].prepare():
                self._engines[key].wait()
        return self._engines[key]

    def sums(
        self, models: Sequence[int], W: Vector, b: Vector, name: str, dtype: str
    ) -> Sums:
        """Return the sums of loss and gradient over all training examples, of all processes.

        Parameters
        ----------
        models
            Which of the M models, K of them; one may occur several times.
        W, b
            K x O x d and K x O.
        name, dtype
            The engine, and what it computes in.
        """
        engine = self.engine(models, name, dtype)
        own_W, own_b = W.astype(dtype), b.astype(dtype)
        loss, dW, db, n = np.zeros(len(W)), np.zeros(W.shape), np.zeros(b.shape), 0
        for block in self._blocks():
            found = engine.sums(own_W, own_b, block)
            loss += found.loss
            dW += found.dW
            db += found.db
            n += found.n
            self._tell()
        total = self._communicator.sum
        n = int(total(np.array([n]))[0])
        return Sums(total(loss), total(dW), total(db), n)

    def bias_curvature(self, model: int, W: Vector, b: Vector) -> tuple[Vector, Vector]:
        """Return dL/db and d2L/db2 of one model, O and O x O, in float64.

        Parameters
        ----------
        model
            Which one; its loss is smooth.
        W, b
            O x d and O.
        """
        settings = self._settings_of((model,))
        loss, targets = settings.models[0].loss, training_targets(settings, self._dataset)
        if loss.curvature is None:
            raise ValueError(f"{loss.name} has no curvature")
        engine = NumpyEngine(self._task((model,), "float64"))
        C, n = self._dataset.n_classes, len(self._dataset.train)
        slope, curvature = np.zeros(C), np.zeros((C, C))
        for block in self._blocks():
            labels = block.labels[block.rows]
            S = class_scores(engine.scores(W[None], b[None], block))
            v = targets.example_weights(labels)
            v = np.ones(len(labels)) if v is None else v.astype(np.float64)
            curvature += loss.curvature(S[0], v)
            _, G = loss.loss_gradient(S, targets.columns(labels).astype(np.float64))
            slope += G[0] @ v
            self._tell()
        slope = self._communicator.sum(slope) / n
        curvature = self._communicator.sum(curvature) / n
        if settings.single_output:  # a score s is the pair (-s/2, s/2)
            half = np.array([[-0.5, 0.5]])
            return half @ slope, half @ curvature @ half.T
        return slope, curvature

    def _blocks(self) -> Iterator[Block]:
        for first in range(self._first, self._last, self._rows):
            yield self._dataset.train.block(first, min(first + self._rows, self._last))

    def _task(self, models: Sequence[int], dtype: str) -> Task:
        settings = dataclasses.replace(self._settings_of(models), dtype=dtype)
        return make_task(
            settings,
            self._dataset,
            self._standardization,
            batch_size=self._rows,
            threads=self._threads,
        )

    def _settings_of(self, models: Sequence[int]) -> Settings:
        own = tuple(self._settings.models[m] for m in models)
        return dataclasses.replace(self._settings, models=own)
