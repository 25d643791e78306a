"""What a solver tells of its progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class Observer:
    """Hears of the progress of training; this one does not listen.

    Any method may raise an exception, such as KeyboardInterrupt, to end the training; its state is
    whole then.
    """

    def begin(self, n_epochs: int, steps_per_epoch: int, steps_made: int) -> None:
        """Hear of the run, once, before the first step; some may have been made before."""

    def compiling(self) -> None:
        """Hear that kernels are being compiled, which takes seconds, once per machine."""

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        """Hear of a few more steps: the first model's mini-batch loss and rate in the last one."""

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        """Hear of every epoch: a record per model, None for one that had stopped before."""


@dataclass(frozen=True)
class EpochRecord:
    """One line of a run's history.

    ``loss`` is the data term L, ``cost`` is J = L + the l2 term. Training figures are those of the
    whole training split after the epoch, for the objective that is minimized (label smoothing and
    class weights included); validation figures are plain.
    """

    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float
    train_cost: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None

    def figure(self, select_by: str) -> float | None:
        """Return what validation says, by loss or by accuracy: larger is better."""
        if select_by == "loss":
            return None if self.validation_loss is None else -self.validation_loss
        return self.validation_accuracy

    def to_mapping(self) -> dict[str, Any]:
        """Return the record as plain Python objects; what is not finite as None, for JSON."""
        return {
            key: value if value is None or math.isfinite(value) else None
            for key, value in self.__dict__.items()
        }
