"""The training figures of an epoch as its steps have found them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Counts
from backprop_cli.evaluation.evaluate import Figures


class StepFigures:
    """Sums over the examples of the steps that an epoch has made, of each model.

    They cost next to nothing, as a step computes the losses and scores anyway. Weights move from
    one mini-batch to the next, so their means are an average over the epoch.

    Parameters
    ----------
    n_models
        M.
    n, batch_size
        Examples of an epoch, and of each of its steps but the last.
    """

    def __init__(self, n_models: int, n: int, batch_size: int) -> None:
        self._n, self._batch_size = n, batch_size
        self._losses, self._right = np.zeros(n_models), np.zeros(n_models, np.int64)

    def add(
        self,
        models: Sequence[int],
        first: int,
        losses: NDArray[np.float64],
        right: Counts,
    ) -> None:
        """Take some more steps of some models.

        Parameters
        ----------
        models
            Their numbers.
        first
            Which step of the epoch is the first of these.
        losses, right
            The mean loss, and how many decisions are right, steps x models.
        """
        before = np.arange(first, first + len(losses)) * self._batch_size
        sizes = np.minimum(self._batch_size, self._n - before)
        # One after the other, so that the sum is the same however the steps are grouped.
        sums = np.concatenate([self._losses[None, models], losses * sizes[:, None]])
        self._losses[models] = np.cumsum(sums, axis=0)[-1]
        self._right[models] += right.sum(axis=0)

    def figures(self, models: Sequence[int]) -> Figures:
        """Return the means of some models, once the epoch's last step is made."""
        return Figures(self._losses[models] / self._n, self._right[models] / self._n)

    def clear(self) -> None:
        """Begin a new epoch."""
        self._losses[:], self._right[:] = 0, 0

    def state(self) -> dict[str, Any]:
        """Return the sums as plain Python objects."""
        return {"losses": self._losses.tolist(), "right": self._right.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go to the sums that `state` returned."""
        self._losses[:], self._right[:] = state["losses"], state["right"]
