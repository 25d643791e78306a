"""The cost and its gradient over the whole training split, block by block, in float64."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator, own_share
from backprop_cli.engine import (
    ENGINES,
    Engine,
    Sums,
    Targets,
    Task,
    blas_threads,
    choose,
    class_scores,
)
from backprop_cli.engine.numpy_engine import NumpyEngine
from backprop_cli.losses import Array, Loss, Vector
from backprop_cli.objective import Objective
from backprop_cli.settings import Settings
from backprop_cli.solvers.lbfgs import First, Point
from backprop_cli.solvers.preconditioner import Hessian, Preconditioner, sampled_hessian
from backprop_cli.solvers.second_moment import SecondMoment
from backprop_cli.solvers.start import make_task, training_targets
from backprop_cli.sources import Block, Dataset, Standardization

_BLOCK_NUMBERS = {"numpy": 400_000, "compiled": 25_000_000}
"""Features and scores of a block. NumPy converts a block before it reads it: in the cache."""
_MIN_BLOCK, _MAX_BLOCK = 64, 8192  # examples
_MOST_SCORES = 4_000_000  # of a block: some six matrices of its size are held at once
MANY_CLASSES = 2000
"""Beyond, no matrix of C x C is made: it would take 32 MB in float64, 800 MB of 10,000 classes."""

_LEAST_SHARE = 1e-10  # of a class that does not occur: its bias would be minus infinity
_PASSES = 30  # what `auto` expects, to choose an engine
DType: TypeAlias = Literal["float32", "float64"]
_PRECISION = {"float32": 1e-7, "float64": 1e-14}  # of a cost, relative


class FullBatch:
    """The cost over all training examples, of any of M models.

    An engine computes the sums of a block in its number type; they are added in float64.

    Parameters
    ----------
    dataset, settings, standardization, communicator, threads
        As for training.
    tell
        Called after every block; may raise KeyboardInterrupt.

    Attributes
    ----------
    engine_name, dtype
        The engine, and the number type that it computes in.
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
        self._threads, self.tell = threads, tell
        self._mean_targets: dict[int, Vector] = {}
        self._reach: float | None = None
        self._engine: tuple[tuple[object, ...], Engine] | None = None
        # Models of one path take turns.
        together = {model.path(): m for m, model in enumerate(settings.models)}
        self._K = len(together) * dataset.n_classes
        n = len(dataset.train)
        self._first, self._last = own_share(communicator, n)
        task = self._task(list(together.values()), settings.dtype)
        work = 4.0 * n * task.n_features * dataset.n_classes * len(settings.models) * _PASSES
        self.engine_name, self.dtype = choose(task, settings.engine, work), settings.dtype
        self._threads_between = threads if self.engine_name == "numpy" else 1

    @property
    def blocks_per_pass(self) -> int:
        """How many blocks this process reads in a pass."""
        return -(-self.n_local // self._rows_at_once(self.engine_name))

    @property
    def n_local(self) -> int:
        """How many training examples this process reads."""
        return self._last - self._first

    @property
    def precision(self) -> float:
        """The relative precision of a cost: smaller differences are rounding."""
        return _PRECISION[self.dtype]

    @property
    def first(self) -> First:
        """Of the communicator: what rank 0 makes, so that all ranks decide alike."""
        return self._communicator.first

    def blas(self) -> AbstractContextManager[object]:
        """Limit the BLAS between passes: to one thread, where the passes are the kernels'.

        After a product, another thread of the BLAS waits busily for some 25 ms, on a core that the
        kernels need.
        """
        return blas_threads(self._threads_between)

    def widen(self) -> None:
        """Compute in float64 from now on, by the engine that can."""
        self.engine_name, self.dtype = "numpy", "float64"

    def l2(self, m: int) -> float:
        """Return lambda of a model."""
        return self._settings.models[m].l2

    def has_dual(self, m: int) -> bool:
        """Say whether a bound on a model's optimal cost is known; an SVM's takes C x C numbers."""
        loss = self.loss(m)
        few = self._dataset.n_classes <= MANY_CLASSES
        return self.l2(m) > 0 and (
            loss.curvature is not None or (loss.smoothed is not None and few)
        )

    def loss(self, m: int) -> Loss:
        """Return the loss of a model."""
        return self._settings.models[m].loss

    def engine(self, models: Sequence[int], name: str, dtype: str) -> Engine:
        """Return an engine for some of the models; the last one is kept."""
        key = (*models, name, dtype)
        if self._engine is None or self._engine[0] != key:
            engine = ENGINES[name].make(self._task(models, dtype))
            if not engine.prepare():
                engine.wait()
            self._engine = key, engine
        return self._engine[1]

    def point(self, m: int, theta: Vector, dtype: str | None = None) -> Point:
        """Return the cost of one model and its gradient at theta; see `points`."""
        return self.points([m], [theta], dtype)[0]

    def points(
        self, models: Sequence[int], thetas: Sequence[Vector], dtype: str | None = None
    ) -> list[Point]:
        """Return the costs of some models, and their gradients, in one pass over the data.

        Parameters
        ----------
        models
            Which of the M models.
        thetas
            [W | b] of each, O x (d + 1).
        dtype
            Another number type than `dtype` to compute in.
        """
        # Rank 0's, to the last bit: each process makes its own, and rounding could differ.
        thetas = self._communicator.first(lambda: thetas)
        stacked = np.stack(thetas)
        W, b = np.ascontiguousarray(stacked[:, :, :-1]), stacked[:, :, -1]
        name = self.engine_name if dtype in (None, self.dtype) else "numpy"
        sums = self.sums(models, W, b, name, dtype or self.dtype)
        objective = Objective(np.array([self.l2(m) for m in models]))
        costs = self._communicator.first(lambda: objective.loss(sums) + objective.penalty(W))
        dW, db = objective.gradient(sums, W)
        gradients = np.concatenate([dW, db[:, :, None]], axis=2)
        return [
            Point(theta, float(cost), gradient)
            for theta, cost, gradient in zip(thetas, costs, gradients, strict=True)
        ]

    def sums(self, models: Sequence[int], W: Vector, b: Vector, name: str, dtype: str) -> Sums:
        """Return the sums of loss and gradient over all training examples, of all processes.

        Parameters
        ----------
        models
            Which of the M models, K of them.
        W, b
            K x O x d and K x O.
        name, dtype
            The engine, and what it computes in.
        """
        engine = self.engine(models, name, dtype)
        own_W, own_b = W.astype(dtype), b.astype(dtype)
        loss, dW, db, n = np.zeros(len(W)), np.zeros(W.shape), np.zeros(b.shape), 0
        with blas_threads(self._threads if name == "numpy" else 1):
            for block in self._blocks(self._rows_at_once(name)):
                found = engine.sums(own_W, own_b, block)
                loss += found.loss
                dW += found.dW
                db += found.db
                n += found.n
                self.tell()
        n_all, loss, db, dW = self._communicator.sum(np.array([n]), loss, db, dW)
        return Sums(loss, dW, db, int(n_all[0]))

    def with_loss(
        self, m: int, loss_gradient: Callable[[Array, Array], tuple[Array, Array]]
    ) -> FullBatch:
        """Return the cost of one model with another loss, by NumPy, on the same examples."""
        model = self._settings.models[m]
        own = dataclasses.replace(
            model, loss=dataclasses.replace(model.loss, loss_gradient=loss_gradient)
        )
        return FullBatch(
            self._dataset,
            dataclasses.replace(self._settings, models=(own,), engine="numpy"),
            self._standardization,
            self._communicator,
            self._threads,
            self.tell,
        )

    def scores(self, m: int, W: Vector, b: Vector) -> Iterator[tuple[Array, Vector, Vector]]:
        """Yield S, Y and v of one model for this process's examples, block by block, in float64.

        Parameters
        ----------
        m
            Which one.
        W, b
            O x d and O.

        Yields
        ------
        S, Y, v
            O x n, C x n and n, for the n examples of a block.
        """
        targets, engine = self._targets(m), NumpyEngine(self._task((m,), "float64"))
        for block in self._blocks(self._rows_at_once("numpy")):
            Y, v = _weighted(targets, block)
            with blas_threads(self._threads):
                S = engine.scores(W[None], b[None], block)[0]
            yield S, Y[0], v
            self.tell()

    def mean(self, total: Vector) -> Vector:
        """Return the mean per training example from this process's part of a sum."""
        return self._communicator.sum(total)[0] / len(self._dataset.train)

    def mean_targets(self, m: int) -> Vector:
        """Return the mean of v y over the training examples, C numbers."""
        if m in self._mean_targets:
            return self._mean_targets[m]
        total, targets = np.zeros(self._dataset.n_classes), self._targets(m)
        own = self._dataset.train.without_features()
        at_once = min(_MAX_BLOCK, _MOST_SCORES // self._dataset.n_classes)
        for first in range(self._first, self._last, at_once):
            block = own.part(first, min(first + at_once, self._last))
            Y, v = _weighted(targets, block)
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

    def preconditioner(
        self, m: int, theta: Vector | None = None, l2: float | None = None
    ) -> Preconditioner:
        """Return the preconditioner of one model.

        Parameters
        ----------
        m
            Which one.
        theta
            Where to look at the Hessian; None: nowhere.
        l2
            lambda, by default the model's.
        """
        hessian, l2 = None, self.l2(m) if l2 is None else l2
        kappa = self.curvatures(m)  # of all ranks together, so also where one does not need it
        if theta is not None and self.loss(m).curvature is not None:
            curvature = functools.partial(self._curvature, m)
            with blas_threads(self._threads):
                hessian = sampled_hessian(self.moment, theta, l2, curvature)
        if hessian is None:
            hessian = Hessian.uniform(self.moment, kappa)
        return Preconditioner(self.moment, hessian, l2)

    @functools.cached_property
    def moment(self) -> SecondMoment:
        """The second moment of the features."""
        seed = self._settings.models[0].seed
        with blas_threads(self._threads):
            return SecondMoment(self._dataset.train, self._standardization, seed)

    def reach(self) -> float:
        """Return a bound on the mean of v |x|: the root of the mean of v^2 times that of |x|^2."""
        if self._reach is None:
            squares = weights = 0.0
            mean, std = self._standardization.mean, self._standardization.std
            standardized = self._settings.standardize != "none"  # the mean of |x|^2 is at most d
            targets = self._targets(0)
            for block in self._blocks(self._rows_at_once("numpy")):
                _, v = _weighted(targets, block)
                weights += float(v @ v)
                if not standardized:
                    x = (block.features[block.rows].astype(np.float64) - mean) / std
                    squares += float(np.einsum("ij,ij->", x, x))
                    self.tell()
            own = self.mean(np.array([squares, weights]))
            self._reach = float(np.sqrt((len(mean) if standardized else own[0]) * own[1]))
        return self._reach

    def _curvature(self, m: int, S: Array, rows: NDArray[np.intp]) -> tuple[Array, Array]:
        """Return Q and U of v d2l/ds2 = diag(q) - u u^T, O x n, for scores of some rows."""
        loss = self.loss(m)
        if loss.curvature is None:
            raise ValueError(f"{loss.name} has no curvature")
        Q, U = loss.curvature(class_scores(S))
        if len(S) == 1:  # a single score s is the pair (-s/2, s/2)
            Q, U = Q.sum(axis=0, keepdims=True) / 4, (U[1:] - U[:1]) / 2
        block = self._dataset.train.without_features()._replace(rows=rows)
        v = self._targets(m).example_weights(block)
        return (Q, U) if v is None else (Q * v, U * np.sqrt(v))

    def _targets(self, m: int) -> Targets:
        own = dataclasses.replace(self._settings_of((m,)), dtype="float64")
        return training_targets(own, self._dataset)

    def _rows_at_once(self, engine: str) -> int:
        """Return how many examples a block has for an engine."""
        rows = _BLOCK_NUMBERS[engine] // (self._dataset.n_features + 2 * self._K)
        # No fewer than rows of W: to add a block's dW to the sum reads as much as the block.
        least = min(self._K, _MOST_SCORES // self._K)
        return min(_MAX_BLOCK, max(_MIN_BLOCK, least, rows))

    def _blocks(self, rows: int) -> Iterator[Block]:
        yield from self._dataset.train.blocks(rows, self._first, self._last, self.tell)

    def _task(self, models: Sequence[int], dtype: str) -> Task:
        settings = dataclasses.replace(self._settings_of(models), dtype=cast("DType", dtype))
        return make_task(
            settings,
            self._dataset,
            self._standardization,
            batch_size=_MAX_BLOCK,
            threads=self._threads,
        )

    def _settings_of(self, models: Sequence[int]) -> Settings:
        own = tuple(self._settings.models[m] for m in models)
        return dataclasses.replace(self._settings, models=own)


def _weighted(targets: Targets, block: Block) -> tuple[Vector, Vector]:
    """Return the columns of Y, 1 x C x n, and the weight v of each example, n."""
    v = targets.example_weights(block)
    Y = targets.columns(block.labels[block.rows]).astype(np.float64)
    return Y, np.ones(Y.shape[2]) if v is None else v.astype(np.float64)
