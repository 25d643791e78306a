"""Steps one after the other, through the sums of all processes."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator
from backprop_cli.engine import Counts, DescentState, Engine, Sums
from backprop_cli.losses import Array
from backprop_cli.objective import Objective
from backprop_cli.plan import Batches
from backprop_cli.solvers.updates import descend

_PART_BYTES = 4_000_000  # of W; its gradient and velocity are as large


class SeparateSteps:
    """Steps made outside the engine: it has no fused ones, or other processes have a part in them.

    sums -> their sum over all processes -> the objective's gradient -> the update.
    """

    def __init__(self, engine: Engine, objective: Objective, communicator: Communicator) -> None:
        self._engine, self._objective, self._communicator = engine, objective, communicator

    def steps(
        self,
        state: DescentState,
        batches: Batches,
        rates: Array,
        max_losses: NDArray[np.float64],
        right: Counts | None = None,
    ) -> tuple[int, NDArray[np.float64]]:
        """Make a step per mini-batch; see `FusedEngine.steps`."""
        losses = np.empty(rates.shape)
        for step in range(len(rates)):
            sums = self.sums(state, batches, step, None if right is None else right[step])
            losses[step] = self._objective.loss(sums)
            if not (losses[step] <= max_losses).all():
                return step, losses[: step + 1]
            self._descend(state, sums, rates[step])
        return len(rates), losses

    def _descend(self, state: DescentState, sums: Sums, rates: Array) -> None:
        """Move W and b, part by part: what is done to a part is done while it is in the cache."""
        n_models, n_outputs, d = state.W.shape
        parts = _parts(n_models, n_outputs, d * state.W.itemsize)
        if len(parts) == 1:
            descend(state, *self._objective.gradient(sums, state.W), rates)
            return
        for models, outputs in parts:
            part = state.part(models, outputs)
            own = sums._replace(dW=sums.dW[models, outputs], db=sums.db[models, outputs])
            descend(part, *self._objective.gradient(own, part.W, models), rates[models])

    def sums(
        self, state: DescentState, batches: Batches, k: int, right: Counts | None = None
    ) -> Sums:
        """Return the sums over one mini-batch, of all processes; see `Engine.sums`."""
        own = self._engine.sums(state.W, state.b, batches.batch(k), right)
        if self._communicator.size == 1:
            return own
        counts = [] if right is None else [right]
        n, loss, db, dW, *counted = self._communicator.sum(
            np.array([own.n]), own.loss, own.db, own.dW, *counts
        )
        if right is not None:
            right[:] = counted[0]
        return Sums(loss, dW, db, int(n[0]))


@functools.cache
def _parts(n_models: int, n_outputs: int, row_bytes: int) -> list[tuple[slice, slice]]:
    """Cut W into parts of about `_PART_BYTES`: which models, and which outputs of each."""
    rows = max(1, _PART_BYTES // row_bytes)
    if rows >= n_outputs:
        step = rows // n_outputs
        return [(slice(m, m + step), slice(0, n_outputs)) for m in range(0, n_models, step)]
    return [
        (slice(m, m + 1), slice(k, k + rows))
        for m in range(n_models)
        for k in range(0, n_outputs, rows)
    ]
