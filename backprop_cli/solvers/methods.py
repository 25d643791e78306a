"""The solvers: what they are asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backprop_cli.solvers.observer import TrainFigures
from backprop_cli.solvers.schedules import Schedule


@dataclass(frozen=True)
class Rule:
    """How one model of a stack moves.

    Attributes
    ----------
    learning_rate
        eta; the highest of the schedule. None: derived from the data.
    schedule
        How the rate moves.
    momentum
        rho in V = rho V + dW.
    nesterov
        Step along dW + rho V in place of V.
    """

    learning_rate: float | None
    schedule: Schedule
    momentum: float
    nesterov: bool

    @property
    def rate(self) -> float:
        """The learning rate; a ValueError if it is still to be derived from the data."""
        if self.learning_rate is None:
            raise ValueError("expected a learning rate, found None")
        return self.learning_rate


@dataclass(frozen=True)
class MiniBatchDescent:
    """Mini-batch gradient descent of M models over the same mini-batches.

    Attributes
    ----------
    rules
        One per model.
    epochs
        Passes over the training examples. None: enough for the data's size.
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
        Stop a model after so many evaluated epochs without a better validation figure; None: never.
    evaluate_every
        How many epochs there are from one that is evaluated to the next; the last one always is.
    train_figures
        evaluation: the training figures are those of the whole training split at the end of an
        evaluated epoch. steps: averages over the steps of every epoch. None: what suits the
        data's size.
    """

    rules: tuple[Rule, ...]
    epochs: int | None
    batch_size: int
    seed: int
    horizontal_flips: bool
    select_by: str
    keep: Literal["best", "last"]
    patience: int | None
    evaluate_every: int = 1
    train_figures: TrainFigures | None = "evaluation"

    def evaluates(self, epoch: int) -> bool:
        """Say whether an epoch, from 1, is evaluated at its end."""
        return epoch % self.evaluate_every == 0 or epoch == self.n_epochs

    @property
    def n_epochs(self) -> int:
        """The number of epochs; a ValueError if it is still to be derived from the data."""
        if self.epochs is None:
            raise ValueError("expected the number of epochs, found None")
        return self.epochs

    def rates(self, epoch: int, steps_per_epoch: int) -> NDArray[np.float64]:
        """Return the learning rate of each step of an epoch (from 0) and each model, steps x M.

        Raises
        ------
        ValueError
            Rates or epochs are still to be derived from the data.
        """
        steps = epoch * steps_per_epoch + np.arange(steps_per_epoch)
        total = self.n_epochs * steps_per_epoch
        return np.stack(
            [rule.schedule.rates(rule.rate, steps, steps_per_epoch, total) for rule in self.rules],
            axis=1,
        )


@dataclass(frozen=True)
class FullBatchLbfgs:
    """Full-batch L-BFGS, until the cost is known to be near its optimum.

    Attributes
    ----------
    tolerance
        The relative duality gap to stop at; without l2, where no bound is known, the norm of the
        gradient against that at the start.
    select_by
        The validation figure that models are compared by.
    certified
        Whether a certificate decides that the tolerance is reached. Otherwise a prediction does,
        which costs no pass over the data: enough for models that are only compared.
    """

    tolerance: float
    select_by: str
    certified: bool = True


Solver: TypeAlias = MiniBatchDescent | FullBatchLbfgs
"""How models are trained."""
