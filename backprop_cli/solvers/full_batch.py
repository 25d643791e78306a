"""The cost and its gradient over the whole training split, block by block, in float64."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator
from backprop_cli.engine import (
    ENGINES,
    Engine,
    Sums,
    Task,
    blas_threads,
    choose,
    class_scores,
)
from backprop_cli.engine.numpy_engine import NumpyEngine
from backprop_cli.losses import Array, Vector
from backprop_cli.objective import Objective
from backprop_cli.settings import Settings
from backprop_cli.solvers.examples import MAX_BLOCK, TrainingExamples, weighted
from backprop_cli.solvers.lbfgs import First, Point
from backprop_cli.solvers.preconditioner import Hessian, Preconditioner, sampled_hessian
from backprop_cli.solvers.second_moment import WHOLE_NUMBERS, SecondMoment
from backprop_cli.solvers.shares import Shares, Tell
from backprop_cli.solvers.start import make_task
from backprop_cli.sources import Dataset, Standardization

MANY_CLASSES = 2000
"""Beyond, no matrix of C x C is made: it would take 32 MB in float64, 800 MB of 10,000 classes."""

_LEAST_PASSES = 12  # before the moment is refined: easy searches have ended
_PASSES = 30  # what `auto` expects, to choose an engine
Scored: TypeAlias = tuple[Array, Vector, Vector]
DType: TypeAlias = Literal["float32", "float64"]
_PRECISION = {"float32": 1e-7, "float64": 1e-14}  # of a cost, relative


class FullBatch(TrainingExamples):
    """The cost over all training examples, of any of M models.

    An engine computes the sums of a block in its number type; they are added in float64.

    Parameters
    ----------
    dataset, settings, standardization, communicator, threads
        As for training.
    tell
        As in `Shares`: of all blocks; may raise KeyboardInterrupt.

    Attributes
    ----------
    engine_name, dtype
        The engine, and the number type that it computes in.
    refined
        Whether `refine` was called.
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
        super().__init__(dataset, settings, standardization, communicator, threads, tell)
        self.refined = False
        self._engine: tuple[tuple[object, ...], Engine] | None = None
        task = self._task(self._together, settings.dtype)
        outputs = dataset.n_classes * len(settings.models)
        work = 4.0 * len(dataset.train) * task.n_features * outputs * _PASSES
        self.engine_name, self.dtype = choose(task, settings.engine, work), settings.dtype
        self._threads_between = threads if self.engine_name == "numpy" else 1

    @property
    def blocks_per_pass(self) -> int:
        """How many blocks this process reads in a pass."""
        return -(-self.n_local // self._rows_at_once(self.engine_name))

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

    def has_dual(self, m: int) -> bool:
        """Say whether a bound on a model's optimal cost is known; an SVM's takes C x C numbers."""
        loss = self.loss(m)
        few = self._dataset.n_classes <= MANY_CLASSES
        return self.l2(m) > 0 and (
            loss.curvature is not None or (loss.smoothed is not None and few)
        )

    def engine(self, models: Sequence[int], name: str, dtype: str) -> Engine:
        """Return an engine for some of the models; the last one is kept."""
        key = (*models, name, dtype)
        if self._engine is None or self._engine[0] != key:
            numpy = name == "numpy"
            engine = (
                self._own(models, dtype) if numpy else ENGINES[name].make(self._task(models, dtype))
            )
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
        own_W, own_b, train = W.astype(dtype), b.astype(dtype), self._dataset.train
        shares = self._by_numpy() if name == "numpy" else Shares(self._first, self._last, 1, 1)

        def share(first: int, last: int, tell: Tell) -> Sums:
            engine = self.engine(models, name, dtype) if shares.n == 1 else self._own(models, dtype)
            loss, dW, db, n = np.zeros(len(W)), np.zeros(W.shape), np.zeros(b.shape), 0
            waiting = functools.partial(tell, 0)
            blocks = train.blocks(self._rows_at_once(name), first, last, waiting)
            with contextlib.closing(blocks):
                for block in blocks:
                    found = engine.sums(own_W, own_b, block)
                    loss += found.loss
                    dW += found.dW
                    db += found.db
                    n += found.n
                    tell(1)
            return Sums(loss, dW, db, n)

        with blas_threads(self._threads if name == "numpy" and shares.n == 1 else 1):
            parts = shares.map(share, self.tell)
        total = parts[0]
        for part in parts[1:]:
            total = total.plus(part)
        n_all, loss, db, dW = self._communicator.sum(
            np.array([total.n]), total.loss, total.db, total.dW
        )
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

    def scores(self, m: int, W: Vector, b: Vector) -> Iterator[Scored]:
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
            O x n, C x n and n, for the n examples of a block; S is overwritten by the next.
        """
        with blas_threads(self._threads):
            for found in self._scores(m, W, b, (self._first, self._last), self.tell):
                yield found
                self.tell(1)

    def all_scores(self, m: int, W: Vector, b: Vector) -> list[Scored]:
        """Return what `scores` yields, all of it."""

        def share(first: int, last: int, tell: Tell) -> list[Scored]:
            found = []
            with contextlib.closing(self._scores(m, W, b, (first, last), tell)) as scores:
                for S, Y, v in scores:
                    found.append((S.copy(), Y, v))
                    tell(1)
            return found

        shares = self._by_numpy()
        with blas_threads(1 if shares.n > 1 else self._threads):
            parts = shares.map(share, self.tell)
        return [own for part in parts for own in part]

    def _scores(
        self, m: int, W: Vector, b: Vector, examples: tuple[int, int], tell: Tell
    ) -> Generator[Scored, None, None]:
        """Yield what `scores` does for some examples, from the first to before the last."""
        targets, engine = self._targets(m), self._own((m,), "float64")
        rows, waiting = self._rows_at_once("numpy"), functools.partial(tell, 0)
        with contextlib.closing(self._dataset.train.blocks(rows, *examples, waiting)) as blocks:
            for block in blocks:
                Y, v = weighted(targets, block)
                yield engine.scores(W[None], b[None], block)[0], Y[0], v

    def _own(self, models: Sequence[int], dtype: str) -> Engine:
        """Return an engine of NumPy for one thread, which has its own memory."""
        # A certificate is not what `gradcheck` calls the reference: it may fold, which is faster.
        certifies = dtype != self._settings.dtype
        return NumpyEngine(self._task(models, dtype), fold_float64=certifies)

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

    def worth_refining(self, passes: int, paths: Sequence[Sequence[int]], tolerance: float) -> bool:
        """Say whether to `refine`: it is expected to save more passes than it costs.

        The expectation may be too low. So it is also done after twice as many passes as it costs.

        Parameters
        ----------
        passes
            So far.
        paths
            The models that have not arrived, those of one path after each other.
        tolerance
            Of the relative gap.
        """
        if self.refined:
            return False
        cost = self.first(lambda: self.moment.cost_of_refining(self.n_local, self._K))
        if cost == math.inf:
            return False
        kappa = {m: float(self.curvatures(m).mean()) for path in paths for m in path}

        def worth() -> bool:
            gains = (
                sum(self.moment.gain_of_refining(kappa[m], self.l2(m), tolerance) for m in path)
                for path in paths
            )
            return max(gains) >= cost or passes >= max(_LEAST_PASSES, 2 * cost)

        return self.first(worth)

    def refine(self) -> None:
        """Find all directions of the features, from all examples; for later preconditioners."""
        at_once = max(1, WHOLE_NUMBERS // self._dataset.n_features)
        with blas_threads(self._threads):
            self.moment = self.moment.refined(
                self._blocks(at_once), functools.partial(self.tell, 1), self._communicator.sum
            )
        self.refined = True

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

    def _task(self, models: Sequence[int], dtype: str) -> Task:
        settings = dataclasses.replace(self._settings_of(models), dtype=cast("DType", dtype))
        return make_task(
            settings,
            self._dataset,
            self._standardization,
            batch_size=MAX_BLOCK,
            threads=self._threads,
        )
