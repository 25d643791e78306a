"""The reference engine: the lecture's equations for M classifiers and a mini-batch, by NumPy."""

from __future__ import annotations

import itertools

import numpy as np

from backprop_cli.engine.contract import Counts, Outcomes, Sums, Task, require_as_stored
from backprop_cli.engine.decisions import class_scores, decide
from backprop_cli.engine.products import Products
from backprop_cli.engine.standardizing import Standardizing
from backprop_cli.engine.targets import Targets
from backprop_cli.losses import Array, Loss
from backprop_cli.sources import Block

_EVALUATED_BYTES = 2_000_000  # as fast as 8, and less to hold
_MAX_EVALUATED = 2048


class NumpyEngine:
    """Sums of losses and gradients of M linear classifiers, over the examples of a mini-batch.

        S = W X + b 1^T        G = dl/dS        dW = G X^T        db = G 1

    The M models are one matrix, (M O) x d, so each pass is one product.
    With one output (O = 1, two classes) a score s stands for the pair (-s/2, +s/2), and G for s is
    (G_1 - G_0) / 2.

    It is the reference: every other engine is held to it, and it does everything.

    Parameters
    ----------
    task
        What to compute.
    fold_float64
        See `Standardizing`; faster, and not the reference.
    """

    def __init__(self, task: Task, *, fold_float64: bool = False) -> None:
        self._task = task
        self._n_rows = task.n_models * task.n_outputs
        self._standardizing = Standardizing(
            task.standardization,
            task.image,
            task.dtype,
            task.splits[0].features.dtype if task.splits else None,
            self._n_rows,
            fold_float64,
        )
        # Neighbours with the same loss are computed together.
        self._groups: list[tuple[Loss, slice]] = []
        first = 0
        for loss, group in itertools.groupby(task.losses):
            last = first + len(list(group))
            self._groups.append((loss, slice(first, last)))
            first = last
        self._dW = np.empty((task.n_models, task.n_outputs, task.n_features), task.dtype)
        self._scores_memory: dict[int, tuple[Products, Array, Array]] = {}
        numbers = task.n_features + 4 * task.n_models * task.targets.n_classes
        at_once = _EVALUATED_BYTES // (numbers * task.dtype.itemsize)
        self.examples_at_once = max(1, min(_MAX_EVALUATED, at_once))

    def sums(self, W: Array, b: Array, block: Block, right: Counts | None = None) -> Sums:
        """Return the sums of loss and gradient over a block's examples; see `Engine.sums`."""
        labels = block.labels[block.rows]
        Y, v = self._task.targets.columns(labels), self._task.targets.example_weights(block)
        rows = self._standardizing.examples(block)  # X^T
        S = self._scores(W, b, rows)
        if right is not None:
            right[:] = np.count_nonzero(decide(S) == labels, axis=1)
        losses, G = self._loss_gradient(S, Y)
        if v is not None:
            losses *= v
            G *= v
        if self._task.n_outputs == 1:
            G = (G[:, 1:] - G[:, :1]) * G.dtype.type(0.5)
        dW, K, n = self._dW, self._n_rows, len(rows)
        products, *_ = self._memory(n)
        products.gradient(G.reshape(K, n), rows, dW.reshape(K, -1))  # G X^T
        db = G.sum(axis=2)  # G 1
        dW = self._standardizing.gradient(dW, db)
        return Sums(losses.sum(axis=1, dtype=np.float64), dW, db, n)

    def outcomes(self, W: Array, b: Array, block: Block, targets: Targets) -> Outcomes:
        """Return losses and decisions of a block's examples; see `Engine.outcomes`."""
        require_as_stored(block)
        S = self.scores(W, b, block)
        decisions = decide(S)  # before the losses, which overwrite S
        losses, _ = self._loss_gradient(S, targets.columns(block.labels[block.rows]))
        return Outcomes(losses, decisions)

    def scores(self, W: Array, b: Array, block: Block) -> Array:
        """Return S = W X + b 1^T, M x O x n; overwritten by the next call. See `Engine.scores`."""
        return self._scores(W, b, self._standardizing.examples(block))

    def prepare(self) -> bool:
        """Return true: there is nothing to make ready."""
        return True

    def wait(self) -> None:
        """Return at once."""

    def _scores(self, W: Array, b: Array, rows: Array) -> Array:
        """Return S = W X + b 1^T for X^T = ``rows``."""
        products, XtWt, S = self._memory(len(rows))
        W, b = self._standardizing.parameters(W, b)
        products.scores(rows, W.reshape(self._n_rows, -1), XtWt)
        return np.add(XtWt.T.reshape(S.shape), b[:, :, None], out=S)  # S = W X + b 1^T

    def _loss_gradient(self, S: Array, Y: Array) -> tuple[Array, Array]:
        """Return the losses, M x n, and G, M x C x n; S is overwritten."""
        S = class_scores(S)
        if len(self._groups) == 1:
            return self._groups[0][0].loss_gradient(S, Y)
        losses, G = np.empty((len(S), S.shape[2]), S.dtype), np.empty_like(S)
        for loss, models in self._groups:
            targets = Y if len(Y) == 1 else Y[models]
            losses[models], G[models] = loss.loss_gradient(S[models], targets)
        return losses, G

    def _memory(self, n: int) -> tuple[Products, Array, Array]:
        """Return the products for n examples, and room for X^T W^T and S."""
        if n not in self._scores_memory:  # an epoch has few sizes, so they are kept
            task = self._task
            products = Products(self._n_rows, n, task.n_features, task.dtype)
            XtWt = np.empty((n, self._n_rows), task.dtype)
            S = np.empty((task.n_models, task.n_outputs, n), task.dtype)
            self._scores_memory[n] = products, XtWt, S
        return self._scores_memory[n]
