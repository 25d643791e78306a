"""What a solver tells of its progress."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from backprop_cli.evaluation.measures import MEASURES

TrainFigures: TypeAlias = Literal["evaluation", "steps"]
"""Where training figures come from: a pass over the training split, or the steps of the epoch."""

Standing = tuple[float, float]
"""What an epoch or a model is compared by: a figure, then minus the loss; larger is better."""

_PREFIX = "validation_"


class Observer:
    """Hears of the progress of training; this one does not listen.

    Any method may raise an exception, such as KeyboardInterrupt, to end the training; its state is
    whole then.
    """

    def begin(self, n_epochs: int | None, steps_per_epoch: int, steps_made: int) -> None:
        """Hear of the run, once, before the first step; some may have been made before.

        ``n_epochs`` is None where the solver itself finds out when to end.
        """

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
    class weights included); validation figures are plain. ``validation_measures`` has the measure
    that epochs are selected by, by its name, if it is neither loss nor accuracy. What was not
    evaluated is None.

    With ``train_figures`` "steps", loss and accuracy of training are averages over the epoch's
    mini-batches, each before its step, and the cost is this loss + the l2 term after the epoch.

    An epoch of L-BFGS is a step, and ``learning_rate`` its length. It has no training accuracy,
    which would cost another pass.
    """

    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float | None
    train_cost: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    validation_measures: Mapping[str, float | None] = field(default_factory=dict)
    train_figures: TrainFigures = "evaluation"

    def standing(self, select_by: str) -> Standing | None:
        """Return what to compare epochs by, larger is better; None without validation of it.

        It is the figure that is asked for and, for ties, the validation loss, negative.
        """
        if self.validation_loss is None:
            return None
        own = {"loss": -self.validation_loss, "accuracy": self.validation_accuracy}
        figure = {**own, **self.validation_measures}.get(select_by)
        return None if figure is None else (figure, -self.validation_loss)

    def to_mapping(self) -> dict[str, Any]:
        """Return the record as plain Python objects; what is not finite as None, for JSON.

        ``train_figures`` is left out where it is "evaluation".
        """
        others = ("validation_measures", "train_figures")
        figures = {key: v for key, v in self.__dict__.items() if key not in others}
        figures |= {_PREFIX + name: value for name, value in self.validation_measures.items()}
        mapping = {
            key: value if value is None or math.isfinite(value) else None
            for key, value in figures.items()
        }
        kind = self.train_figures
        return mapping if kind == "evaluation" else {**mapping, "train_figures": kind}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> EpochRecord:
        """Return the record that `to_mapping` wrote.

        Raises
        ------
        TypeError
            It is of other figures.
        """
        names = {known.name for known in fields(cls)} - {"validation_measures"}
        more = {key.removeprefix(_PREFIX): v for key, v in mapping.items() if key not in names}
        if not more.keys() <= MEASURES.keys():
            raise TypeError(f"expected measures, found {', '.join(map(repr, more))}")
        own = {key: value for key, value in mapping.items() if key in names}
        return cls(**own, validation_measures=more)
