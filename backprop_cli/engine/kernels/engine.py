"""The engine whose arithmetic is compiled: it hands arrays to the kernels, on several threads."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli import blas
from backprop_cli.engine.contract import (
    Counts,
    DescentState,
    Outcomes,
    Sums,
    Task,
    require_as_stored,
)
from backprop_cli.engine.kernels.cache import keep_compiled, load_or_compile
from backprop_cli.engine.kernels.evaluation import evaluate
from backprop_cli.engine.kernels.halves import readable
from backprop_cli.engine.kernels.losses import COMPILED
from backprop_cli.engine.kernels.memory import LINE, NO_MEETING, aligned
from backprop_cli.engine.kernels.minibatch import descend, sums
from backprop_cli.engine.kernels.pool import started_pool
from backprop_cli.engine.kernels.shapes import cut
from backprop_cli.engine.kernels.structures import Examples, Models, Work
from backprop_cli.engine.kernels.tile import COLUMNS
from backprop_cli.engine.numpy_engine import NumpyEngine
from backprop_cli.engine.targets import Targets
from backprop_cli.errors import ConfigError, first_line
from backprop_cli.losses import Array
from backprop_cli.plan import Batches
from backprop_cli.sources import Block, Scattered

_PADDING = 16  # rows at a distance of a power of two would compete for the same lines of a cache
_FLOATS = LINE // 4  # float32 numbers of a line of memory
_PATIENCE = 1.0  # seconds of compiling in silence
_NO_WEIGHTS = np.empty(0)
_ONE_ARRAY = np.zeros(1, np.intp)


class CompiledEngine:
    """Engine by the kernels of this package, in float32, with a score per class.

    The standardization is folded into W by its scale, and subtracted from examples in registers:
    W (x - mean) / std = (W / std) (x - mean). The BLAS takes standardized examples, and W itself.
    """

    examples_at_once = 8192  # the kernels take them in parts of their own

    def __init__(self, task: Task) -> None:
        self._task = task
        M, C, d = task.n_models, task.targets.n_classes, task.n_features
        K, single, own = M * C, task.dtype, cut(task)
        blocks, self._width, self._threads = own.blocks, own.width, own.threads
        padded_width = math.ceil(self._width / COLUMNS) * COLUMNS + _PADDING
        padded_K = math.ceil(K / own.rows) * own.rows
        self._mean = aligned((blocks, padded_width), single)
        for block in range(blocks):
            mean = task.standardization.mean[block * self._width : (block + 1) * self._width]
            self._mean[block, : len(mean)] = mean
        self._std = task.standardization.std.astype(single)
        self._scale = (1.0 / task.standardization.std).astype(single)
        self._folded = np.ones_like(self._scale) if own.product else self._scale
        weights, smoothing = task.targets.class_weights, task.targets.label_smoothing
        none = np.empty(0, single)
        # What belongs to a state of descent is put in its place by `_with_state`.
        self._models = Models(
            W=aligned((K, d), single),
            dW=aligned((K, d), single),
            velocity_W=np.empty((0, d), single),
            b=np.empty(K, single),
            db=np.empty(K, single),
            velocity_b=none,
            kinds=np.array([COMPILED.index(loss.name) for loss in task.losses]),
            smoothing=np.broadcast_to(smoothing, M).copy(),
            class_weights=none if weights is None else weights,
            two_l2=np.zeros(M, single),
            rho=np.zeros(M, single),
            ahead=np.zeros(M, np.bool_),
            scale=self._folded,
        )
        self._scaled_V: Array = self._models.velocity_W
        # W scaled, at the beginning of a call
        self._before: Array = np.empty((0 if own.product else K, d), single)
        x = aligned((blocks, own.piece, padded_width), own.dtype)
        self._work = Work(
            x=x,
            flat=x.reshape(blocks, -1),
            places=np.arange(own.piece) * padded_width,
            parts=aligned((blocks, own.piece, padded_K), single),
            G=aligned((padded_K // own.rows, own.piece, own.rows), single),
            tiles=aligned((self._threads, own.rows, padded_width), single),
            sums=np.zeros((self._threads, M)),
            right=np.zeros((self._threads, M), np.int64),
            db=aligned((self._threads, -(-K // _FLOATS) * _FLOATS), single),
            ones=np.ones(K, single),
            counter=np.zeros(1, np.int64),
            product=own.product,
        )
        self._part = aligned((self._threads, 0 if own.product else own.scored, padded_K), single)
        self._scores = aligned((self._threads, own.scored, padded_K), single)
        self._places = np.zeros((self._threads, own.scored), np.intp)
        self._pool = started_pool(max(1, self._threads - 1))
        self._loading: Future[None] | None = None
        self._numpy: NumpyEngine | None = None

    def prepare(self) -> bool:
        """Compile, or load what was compiled before; see `Engine.prepare`."""
        if self._loading is None:
            self._loading = self._pool.submit(self._load)
        try:
            self._loading.result(_PATIENCE)
        except TimeoutError:
            return False
        except Exception as error:
            raise _cannot_compile(error) from error
        return True

    def wait(self) -> None:
        """Wait until all is compiled; see `Engine.wait`."""
        try:
            if self._loading is not None:
                self._loading.result()
        except Exception as error:
            raise _cannot_compile(error) from error

    def steps(
        self,
        state: DescentState,
        batches: Batches,
        rates: Array,
        max_losses: NDArray[np.float64],
        right: Counts | None = None,
    ) -> tuple[int, NDArray[np.float64]]:
        """Make a step per mini-batch; see `FusedEngine.steps`."""
        _check_batches(batches, len(rates), self._task.batch_size)
        losses = np.empty(rates.shape)
        models = self._with_state(state)
        if not self._work.product:
            self._before[...] = models.W
        made: int = self._on_all_threads(
            descend, self._examples(batches.block), models, self._work, self._width,
            *_rows(batches.block), rates, self._task.batch_size, max_losses, losses,
            np.empty((len(rates), 0), np.int64) if right is None else right,
        )  # fmt: skip
        if not self._work.product:
            # Only the change: scaling W and back on every call would accumulate rounding errors.
            moved = np.subtract(models.W, self._before, out=self._before)
            moved *= self._std
            W, V = state.W, state.velocity_W
            W += moved.reshape(W.shape)
            np.multiply(models.velocity_W.reshape(V.shape), self._std, out=V)
        return made, losses[: made + 1]

    def sums(self, W: Array, b: Array, block: Block, right: Counts | None = None) -> Sums:
        """Return the sums of loss and gradient; see `Engine.sums`."""
        _check_size(len(block.rows), self._task.batch_size)
        models = self._with_parameters(W, b)
        losses = np.zeros(len(W))
        if not len(block.rows):  # the kernel leaves those of the block before
            models.dW.fill(0)
            models.db.fill(0)
            if right is not None:
                right.fill(0)
        self._on_all_threads(
            sums, self._examples(block), models, self._work, self._width, *_rows(block),
            np.full(len(W), np.inf), losses, np.empty(0, np.int64) if right is None else right,
        )  # fmt: skip
        dW = models.dW.reshape(W.shape) * self._folded  # the chain rule, from W scaled to W
        return Sums(losses, dW, models.db.reshape(b.shape), len(block.rows))

    def outcomes(self, W: Array, b: Array, block: Block, targets: Targets) -> Outcomes:
        """Return losses and decisions of a block's examples; see `Engine.outcomes`."""
        require_as_stored(block)
        M, n = len(W), len(block.rows)
        losses, decisions = np.empty((M, n), W.dtype), np.empty((M, n), np.intp)
        models = self._with_parameters(W, b)
        smoothing = np.broadcast_to(targets.label_smoothing, M).copy()
        self._on_all_threads(
            evaluate, self._examples(block), models, smoothing, self._work, self._width,
            self._part, self._scores, self._places, block.rows, losses, decisions,
        )  # fmt: skip
        return Outcomes(losses, decisions)

    def scores(self, W: Array, b: Array, block: Block) -> Array:
        """Return S = W X + b 1^T, by NumPy; see `Engine.scores`."""
        if self._numpy is None:
            self._numpy = NumpyEngine(self._task)
        return self._numpy.scores(W, b, block)

    def _load(self) -> None:
        """Call every kernel with arguments of the types to come, and no examples."""
        keep_compiled([descend, sums, evaluate])
        M = self._task.n_models
        rates = np.zeros((0, M), self._task.dtype)
        nothing = np.zeros(0, np.intp), np.zeros(0, np.bool_)
        for k, split in enumerate({s.features.dtype: s for s in self._task.splits}.values()):
            examples = self._examples(split.block(0, 0))
            common = (0, 1, examples, self._models)
            if k == 0:
                made = (*common, self._work, self._width, *nothing)
                limits = np.zeros(M)
                right = np.zeros((0, M), np.int64)
                load_or_compile(descend, (*made, rates, 1, limits, np.zeros((0, M)), right))
                load_or_compile(sums, (*made, limits, np.zeros(M), np.zeros(M, np.int64)))
            evaluated = (
                self._models.smoothing, self._work, self._width, self._part, self._scores,
                self._places, nothing[0],
                np.zeros((M, 0), self._task.dtype), np.zeros((M, 0), np.intp),
            )  # fmt: skip
            load_or_compile(evaluate, (*common, *evaluated))

    def _with_parameters(self, W: Array, b: Array) -> Models:
        """Return the models at W, scaled, and b."""
        np.multiply(W, self._folded, out=self._models.W.reshape(W.shape))
        return self._models._replace(b=np.ascontiguousarray(b).reshape(-1))

    def _with_state(self, state: DescentState) -> Models:
        """Return the models with all that gradient descent needs."""
        d = self._task.n_features
        if self._work.product:  # nothing is folded into W: it moves where it is
            if not (state.W.flags.c_contiguous and state.velocity_W.flags.c_contiguous):
                raise ValueError("expected weights that are stored row by row")
            W, V = state.W.reshape(-1, d), state.velocity_W.reshape(-1, d)
        else:
            if self._scaled_V.size != state.velocity_W.size:
                self._scaled_V = aligned((state.velocity_W.size // d, d), self._task.dtype)
            W, V = self._with_parameters(state.W, state.b).W, self._scaled_V
            np.multiply(state.velocity_W, self._scale, out=V.reshape(state.velocity_W.shape))
        return self._models._replace(
            W=W,
            b=state.b.reshape(-1),
            velocity_W=V,
            velocity_b=state.velocity_b.reshape(-1),
            two_l2=2 * state.l2,
            rho=state.momentum,
            ahead=state.nesterov,
        )

    def _examples(self, block: Block) -> Examples:
        own, d = block.features, self._task.n_features
        if own.shape[1] != d:
            raise ValueError(f"expected {d} features, found {own.shape[1]}")
        # One type for what is read, whether it is in one array in memory or in mapped files.
        if isinstance(own, Scattered):
            flat, begins, ends = own.addresses()
        elif not own.flags.c_contiguous:  # a copy of all of them might not fit into memory
            raise ValueError("expected features that are stored row by row")
        else:
            flat, begins, ends = own.view(np.ndarray).reshape(-1), _ONE_ARRAY, np.array([len(own)])
        features = readable(flat)
        features.flags.writeable = False
        image = self._task.image
        line, pixel = (1, 1) if image is None else (image.line, image.pixel)
        weights = _NO_WEIGHTS if block.example_weights is None else block.example_weights
        return Examples(
            features, begins, ends, d, block.labels, weights, self._mean, self._scale, line, pixel
        )

    def _on_all_threads(self, kernel: Callable[..., Any], *arguments: Any) -> Any:
        """Call a kernel on every thread; return what it returns, which is the same on each."""
        self._work.counter[0] = 0
        others: list[Future[Any]] = []
        with blas.called_from_threads() if self._work.product else contextlib.nullcontext():
            try:
                for thread in range(1, self._threads):
                    others.append(self._pool.submit(kernel, thread, self._threads, *arguments))
                return kernel(0, self._threads, *arguments)
            except BaseException:  # an interrupt before this thread has joined the others
                self._work.counter[0] = NO_MEETING
                raise
            finally:
                for other in others:
                    other.result()


def _check_size(examples: int, limit: int) -> None:
    """Refuse more examples than there is memory for: the kernels do not check."""
    if examples > limit:
        raise ValueError(f"expected at most {limit} examples per step, found {examples}")


def _check_batches(batches: Batches, steps: int, batch_size: int) -> None:
    """Refuse mini-batches that are not of one size, except the last: the kernels do not check."""
    sizes = np.diff(batches.starts)
    if len(sizes) != steps or (sizes[:-1] != batch_size).any() or (sizes > batch_size).any():
        raise ValueError(f"expected {steps} mini-batches of {batch_size} examples, found {sizes}")


def _rows(block: Block) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return which rows to take, and which of them are mirrored (none: empty)."""
    mirrored = np.zeros(0, np.bool_) if block.mirrored is None else block.mirrored
    return block.rows, mirrored


def _cannot_compile(error: Exception) -> ConfigError:
    return ConfigError(
        f"compute.backend: numba cannot compile the kernels: {first_line(error)}; "
        "set compute.backend: numpy"
    )
