"""One of the models of a sweep, and its place among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from backprop_cli.runs.settings import Settings
from backprop_cli.solvers.descent import Descent
from backprop_cli.solvers.observer import EpochRecord


@dataclass(frozen=True)
class Candidate:
    """One model of a sweep.

    ``best_epoch`` and the validation figures are those of the epoch that would be kept; None if
    the model diverged before its first epoch was over. ``figure`` is what models are ranked by,
    larger is better.
    """

    index: int
    settings: Settings
    best_epoch: int | None
    validation_accuracy: float | None
    validation_loss: float | None
    diverged: str | None
    figure: float | None
    history: list[EpochRecord]

    @classmethod
    def of(cls, index: int, settings: Settings, descent: Descent, m: int) -> Candidate:
        """Return what became of model m of a training, the sweep's model of this index."""
        kept, history = descent.selections[m].kept, descent.history[m]
        record = history[kept.epoch - 1] if kept and kept.epoch <= len(history) else None
        return cls(
            index=index,
            settings=settings,
            best_epoch=record.epoch if record else None,
            validation_accuracy=record.validation_accuracy if record else None,
            validation_loss=record.validation_loss if record else None,
            diverged=descent.diverged[m],
            figure=record.figure(descent.solver.select_by) if record else None,
            history=history,
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the candidate as plain Python objects, but for its history."""
        hidden = ("index", "figure", "history")
        return {key: value for key, value in self.__dict__.items() if key not in hidden}

    def rank(self) -> tuple[bool, float, int]:
        """Return what to sort by, best first; of equal ones the first that was asked for."""
        figure = -math.inf if self.figure is None else self.figure
        return self.diverged is not None, -figure, self.index
