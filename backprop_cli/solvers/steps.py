"""Steps one after the other, through the sums of all processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator
from backprop_cli.engine import DescentState, Engine, Sums
from backprop_cli.losses import Array
from backprop_cli.objective import Objective
from backprop_cli.plan import Batches
from backprop_cli.solvers.updates import descend


class SeparateSteps:
    """Steps of an engine that has none of its own, or whose sums others have a part in.

    sums -> their sum over all processes -> the objective's gradient -> the update.
    """

    def __init__(self, engine: Engine, objective: Objective, communicator: Communicator) -> None:
        self._engine, self._objective, self._communicator = engine, objective, communicator

    def steps(
        self, state: DescentState, batches: Batches, rates: Array, max_losses: NDArray[np.float64]
    ) -> tuple[int, NDArray[np.float64]]:
        """Make a step per mini-batch; see `FusedEngine.steps`."""
        losses = np.empty(rates.shape)
        for step in range(len(rates)):
            sums = self.sums(state, batches, step)
            losses[step] = self._objective.loss(sums)
            if not (losses[step] <= max_losses).all():
                return step, losses[: step + 1]
            dW, db = self._objective.gradient(sums, state.W)
            descend(state, dW, db, rates[step])
        return len(rates), losses

    def sums(self, state: DescentState, batches: Batches, k: int) -> Sums:
        """Return the sums over one mini-batch, of all processes."""
        own = self._engine.sums(state.W, state.b, batches.batch(k))
        if self._communicator.size == 1:
            return own
        total = self._communicator.sum
        n = int(total(np.array([own.n]))[0])
        return Sums(total(own.loss), total(own.dW), total(own.db), n)
