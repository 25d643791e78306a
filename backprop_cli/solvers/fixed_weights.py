"""The loss of one model as a function of its bias, while W stays as it is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backprop_cli.engine import class_scores
from backprop_cli.losses import Array, Vector
from backprop_cli.solvers.full_batch import FullBatch

_MAX_KEPT = 8_000_000  # scores that are kept; more are computed again for every bias

_HALVES = np.array([[-0.5, 0.5]])  # a single score s is the pair (-s/2, s/2)


class FixedWeights:
    """W X of one model for all training examples, and what follows from it for any b.

    Parameters
    ----------
    batch, m
        All training examples, and which of its models; its loss is smooth.
    W
        O x d.
    """

    def __init__(self, batch: FullBatch, m: int, W: Vector) -> None:
        self._batch, self._m, self._W = batch, m, W
        self._kept: list[tuple[Array, Vector, Vector]] | None = None
        self._C = len(batch.mean_targets(m))
        if self._C * batch.n_local <= _MAX_KEPT:
            self._kept = batch.all_scores(m, W, np.zeros(len(W)))

    def slope(self, b: Vector) -> Vector:
        """Return dL/db, O numbers, in float64."""
        loss = self._batch.loss(self._m)
        slope = np.zeros(self._C)
        for WX, Y, v in self._blocks():
            _, G = loss.loss_gradient(class_scores((WX + b[:, None])[None]), Y[None])
            slope += G[0] @ v
        slope = self._batch.mean(slope)
        return _HALVES @ slope if len(b) == 1 else slope

    def curvature(self, b: Vector) -> Vector:
        """Return d2L/db2, O x O, in float64."""
        loss = self._batch.loss(self._m)
        if loss.curvature is None:
            raise ValueError(f"{loss.name} has no curvature")
        curvature = np.zeros((self._C, self._C))
        for WX, _, v in self._blocks():
            Q, U = loss.curvature(class_scores((WX + b[:, None])[None])[0])
            curvature += np.diag(Q @ v) - (v * U) @ U.T
        curvature = self._batch.mean(curvature)
        return _HALVES @ curvature @ _HALVES.T if len(b) == 1 else curvature

    def _blocks(self) -> Iterable[tuple[Array, Vector, Vector]]:
        return self._scores() if self._kept is None else self._kept

    def _scores(self) -> Iterable[tuple[Array, Vector, Vector]]:
        return self._batch.scores(self._m, self._W, np.zeros(len(self._W)))
