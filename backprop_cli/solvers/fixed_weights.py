"""The loss of one model as a function of its bias, while W stays as it is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from backprop_cli.engine import class_scores
from backprop_cli.losses import Array, Vector
from backprop_cli.solvers.full_batch import FullBatch

_MAX_KEPT = 8_000_000  # scores that are kept; more are computed again for every bias


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
        if len(batch.mean_targets(m)) * batch.n_local <= _MAX_KEPT:
            self._kept = [(WX.copy(), Y, v) for WX, Y, v in self._scores()]

    def curvature(self, b: Vector) -> tuple[Vector, Vector]:
        """Return dL/db and d2L/db2, O and O x O, in float64."""
        loss = self._batch.loss(self._m)
        if loss.curvature is None:
            raise ValueError(f"{loss.name} has no curvature")
        C = len(self._batch.mean_targets(self._m))
        slope, curvature = np.zeros(C), np.zeros((C, C))
        for WX, Y, v in self._scores() if self._kept is None else self._kept:
            S = class_scores((WX + b[:, None])[None])
            curvature += loss.curvature(S[0], v)
            _, G = loss.loss_gradient(S, Y[None])
            slope += G[0] @ v
        slope, curvature = self._batch.mean(slope), self._batch.mean(curvature)
        if len(b) == 1:  # a score s is the pair (-s/2, s/2)
            half = np.array([[-0.5, 0.5]])
            return half @ slope, half @ curvature @ half.T
        return slope, curvature

    def _scores(self) -> Iterable[tuple[Array, Vector, Vector]]:
        return self._batch.scores(self._m, self._W, np.zeros(len(self._W)))
