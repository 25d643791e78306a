"""A run of mini-batch steps, by compiled kernels on several threads."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Array, BatchEngine
from backprop_cli.engine.kernels import forget_cache, load_from_cache
from backprop_cli.engine.kernels import steps as kernels
from backprop_cli.engine.kernels.tile import COLUMNS, ROWS
from backprop_cli.errors import ConfigError, first_line
from backprop_cli.objective import Objective
from backprop_cli.solvers.updates import GradientDescent
from backprop_cli.sources import Split, Standardization

_WIDTH = 1536  # features of a block, and
_WIDTH_BYTES = 3072  # of an example's share of it: a block's examples stay in the second cache
_LEAST_SHARED = 200_000  # operations of a step: below, waiting for others takes longer
_PADDING = 16  # rows at a distance of a power of two would compete for the same lines of a cache
_PATIENCE = 1.0  # seconds of compiling in silence
_KINDS = {"multiclass_svm": kernels.SVM, "softmax_cross_entropy": kernels.SOFTMAX}


def _started_pool(workers: int) -> ThreadPoolExecutor:
    """Return a pool whose threads all run: a kernel waits for every one of them.

    Raises
    ------
    ConfigError
        The system does not grant so many.
    """
    pool = ThreadPoolExecutor(workers, "backprop")
    everyone = threading.Barrier(workers + 1)
    try:
        for _ in range(workers):
            pool.submit(everyone.wait)
        everyone.wait()
    except RuntimeError as error:  # a BrokenBarrierError is one too
        everyone.abort()
        raise ConfigError(
            f"compute.threads: cannot start {workers + 1} threads: {error}"
        ) from error
    return pool


class CompiledSteps:
    """Steps by `backprop_cli.engine.kernels`; see `Steps`, and `NumpySteps` for the parameters.

    float32 and a score a class only. ``threads`` threads work, the caller's own included;
    ``validation`` is what `outcomes` will be asked of beside the training split.
    """

    def __init__(
        self,
        engine: BatchEngine,
        update: GradientDescent,
        split: Split,
        standardization: Standardization,
        objective: Objective,
        batch_size: int,
        image_shape: tuple[int, int, int] | None,
        threads: int,
        validation: Split | None,
    ) -> None:
        self.engine, self.update = engine, update
        self._evaluated = [split] if validation is None else [split, validation]
        self._split, self._batch_size = split, batch_size
        M, C, d = engine.W.shape
        K = M * C
        self._image_width = image_shape[2] if image_shape else 1
        if 4 * batch_size * K * d < _LEAST_SHARED:
            threads = 1
        width = min(_WIDTH, _WIDTH_BYTES // split.features.itemsize)
        blocks = threads * math.ceil(d / (width * threads))
        # Whole rows of images, so that a block can be mirrored by itself.
        self._width = math.ceil(d / blocks / self._image_width) * self._image_width
        blocks = math.ceil(d / self._width)
        self._threads = min(threads, blocks)
        padded_width = math.ceil(self._width / COLUMNS) * COLUMNS + _PADDING
        padded_K = math.ceil(K / ROWS) * ROWS
        single, none = engine.W.dtype, np.empty(0, engine.W.dtype)
        self._mean = np.zeros((blocks, padded_width), single)
        for block in range(blocks):
            own = standardization.mean[block * self._width : (block + 1) * self._width]
            self._mean[block, : len(own)] = own
        self._std = standardization.std.astype(single)
        self._scale = (1.0 / standardization.std).astype(single)
        self._models = kernels.Models(
            W=np.empty((K, d), single),
            dW=engine.dW.reshape(K, d),
            velocity_W=np.empty_like(update.velocity_W).reshape(-1, d),
            b=engine.b.reshape(K),
            db=engine.db.reshape(K),
            velocity_b=update.velocity_b.reshape(-1),
            kinds=np.array([_KINDS[loss] for loss in engine.losses]),
            smoothing=np.broadcast_to(objective.label_smoothing, M).copy(),
            class_weights=none if objective.class_weights is None else objective.class_weights,
            two_l2=2 * engine.l2,
            rho=update.momentum,
            ahead=update.nesterov,
        )
        piece = min(batch_size, kernels.PIECE)
        self._before = np.empty_like(engine.W)  # W scaled, at the beginning of a call
        self._work = kernels.Work(
            x=np.zeros((blocks, piece, padded_width), split.features.dtype),
            places=np.arange(piece),
            parts=np.zeros((blocks, piece, padded_K), single),
            G=np.zeros((piece, padded_K), single),
            tiles=np.zeros((self._threads, ROWS, padded_width), single),
            sums=np.zeros((self._threads, M)),
            counter=np.zeros(1, np.int64),
        )
        self._part = np.zeros((self._threads, kernels.SCORED, padded_K), single)
        self._scores = np.zeros((self._threads, kernels.SCORED, padded_K), single)
        self._pool = _started_pool(max(1, self._threads - 1))

    def prepare(self, notice: Callable[[], None]) -> None:
        """Compile, or load what was compiled before; see `Steps.prepare`."""
        M, none = len(self._models.kinds), np.zeros(0, np.intp)
        rates = np.zeros((0, M), self.engine.W.dtype)
        training = (0, 1, *self._arguments(none, None, rates), np.zeros(M), np.zeros((0, M)))
        losses, decisions = np.zeros((M, 0), self.engine.W.dtype), np.zeros((M, 0), np.intp)
        smoothing = self._models.smoothing
        calls = [(kernels.train, training)]
        for part in {split.features.dtype: split for split in self._evaluated}.values():
            nothing = self._evaluation(part, none, smoothing, losses, decisions)
            calls.append((kernels.evaluate, (0, 1, *nothing)))

        def load() -> None:
            for kernel, arguments in calls:
                load_from_cache(kernel, arguments)
                try:
                    kernel(*arguments)  # does nothing, as there are no rows; compiles if need be
                except Exception:  # numba raises nearly anything on a damaged cache, or a full disk
                    forget_cache(kernel)
                    kernel(*arguments)

        loading = self._pool.submit(load)
        try:
            try:
                loading.result(_PATIENCE)
            except TimeoutError:
                notice()
                loading.result()
        except Exception as error:
            what = first_line(error)
            raise ConfigError(
                f"compute.backend: numba cannot compile the kernels: {what}; numpy needs none"
            ) from error

    def train(
        self,
        rows: NDArray[np.intp],
        mirrored: NDArray[np.bool_] | None,
        rates: Array,
        largest: NDArray[np.float64],
    ) -> tuple[int, NDArray[np.float64]]:
        """Make a step for each row of ``rates``; see `Steps.train`."""
        losses = np.empty(rates.shape)
        self._work.counter[0] = 0
        W, V = self.engine.W, self.update.velocity_W
        scaled_W, scaled_V = (
            self._models.W.reshape(W.shape),
            self._models.velocity_W.reshape(V.shape),
        )
        np.multiply(W, self._scale, out=scaled_W)
        np.multiply(V, self._scale, out=scaled_V)
        np.copyto(self._before, scaled_W)
        made = self._on_all_threads(
            kernels.train, *self._arguments(rows, mirrored, rates), largest, losses
        )
        # Only by how far it moved: W scaled and back, call after call, would lose digits.
        moved = np.subtract(scaled_W, self._before, out=self._before)
        moved *= self._std
        W += moved
        np.multiply(scaled_V, self._std, out=V)
        return made, losses[: made + 1]

    def outcomes(
        self, split: Split, rows: NDArray[np.intp], objective: Objective
    ) -> tuple[Array, NDArray[np.intp]]:
        """Return losses and decisions of some rows of any split; see `Steps.outcomes`."""
        M = len(self._models.kinds)
        losses = np.empty((M, len(rows)), self.engine.W.dtype)
        decisions = np.empty((M, len(rows)), np.intp)
        smoothing = np.broadcast_to(objective.label_smoothing, M).copy()
        self._on_all_threads(
            kernels.evaluate, *self._evaluation(split, rows, smoothing, losses, decisions)
        )
        return losses, decisions

    def _evaluation(
        self,
        split: Split,
        rows: NDArray[np.intp],
        smoothing: Array,
        losses: Array,
        decisions: NDArray[np.intp],
    ) -> tuple[Any, ...]:
        np.multiply(self.engine.W, self._scale, out=self._models.W.reshape(self.engine.W.shape))
        return (
            self._examples(split), self._models, smoothing, self._width, self._part, self._scores,
            rows, losses, decisions,
        )  # fmt: skip

    def _arguments(
        self, rows: NDArray[np.intp], mirrored: NDArray[np.bool_] | None, rates: Array
    ) -> tuple[Any, ...]:
        flags = np.zeros(0, np.bool_) if mirrored is None else mirrored
        examples = self._examples(self._split)
        return examples, self._models, self._work, self._width, rows, flags, rates, self._batch_size

    def _examples(self, split: Split) -> kernels.Examples:
        # One type for what is read, whether it is an array in memory or a mapped file.
        features = split.features.view(np.ndarray)
        features.flags.writeable = False
        return kernels.Examples(features, split.labels, self._mean, self._scale, self._image_width)

    def _on_all_threads(self, kernel: Callable[..., Any], *arguments: Any) -> Any:
        """Call a kernel on every thread; return what it returns, the same on each."""
        others = [
            self._pool.submit(kernel, thread, self._threads, *arguments)
            for thread in range(1, self._threads)
        ]
        result = kernel(0, self._threads, *arguments)
        for other in others:
            other.result()
        return result
