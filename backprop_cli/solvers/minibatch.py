"""Mini-batch gradient descent: what it is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backprop_cli.solvers.schedules import Schedule


@dataclass(frozen=True)
class Rule:
    """How one model of a stack moves.

    Attributes
    ----------
    learning_rate
        eta; the highest of the schedule.
    schedule
        How the rate moves.
    momentum
        rho in V = rho V + dW.
    nesterov
        Step along dW + rho V in place of V.
    """

    learning_rate: float
    schedule: Schedule
    momentum: float
    nesterov: bool


@dataclass(frozen=True)
class MiniBatchDescent:
    """Mini-batch gradient descent of M models over the same mini-batches.

    Attributes
    ----------
    rules
        One per model.
    epochs
        Passes over the training examples.
    batch_size
        Examples per step, over all processes.
    seed
        Of the order of the examples, and of the flips.
    horizontal_flips
        Mirror each training image with probability 1/2, anew every epoch.
    select_by
        The validation figure that says which epoch is best: one of `SELECTABLE`.
    keep
        The weights of which epoch become the model: best, or last.
    patience
        Stop a model after so many epochs without a better validation figure; None: never.
    """

    rules: tuple[Rule, ...]
    epochs: int
    batch_size: int
    seed: int
    horizontal_flips: bool
    select_by: str
    keep: Literal["best", "last"]
    patience: int | None

    def rates(self, epoch: int, steps_per_epoch: int) -> NDArray[np.float64]:
        """Return the learning rate of each step of an epoch (from 0) and each model, steps x M."""
        steps = epoch * steps_per_epoch + np.arange(steps_per_epoch)
        total = self.epochs * steps_per_epoch
        return np.stack(
            [
                rule.schedule.rates(rule.learning_rate, steps, steps_per_epoch, total)
                for rule in self.rules
            ],
            axis=1,
        )
