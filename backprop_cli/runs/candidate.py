"""One of the models of a sweep, and its place among them."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backprop_cli.atomic import write_atomically
from backprop_cli.jsontext import to_json
from backprop_cli.runs.run_directory import SWEEP_HISTORY, SWEEP_TABLE
from backprop_cli.runs.settings import Settings
from backprop_cli.solvers.observer import EpochRecord, Standing
from backprop_cli.solvers.training import Training


@dataclass(frozen=True)
class Candidate:
    """One model of a sweep.

    ``best_epoch`` and the validation figures are those of the epoch that would be kept; None if
    the model diverged before its first epoch was over. ``standing`` is what models are ranked by;
    see `EpochRecord.standing`.
    """

    index: int
    settings: Settings
    best_epoch: int | None
    validation_accuracy: float | None
    validation_loss: float | None
    validation_measures: Mapping[str, float | None]
    diverged: str | None
    standing: Standing | None
    history: list[EpochRecord]

    @classmethod
    def of(cls, index: int, settings: Settings, training: Training, m: int) -> Candidate:
        """Return what became of model m of a training, the sweep's model of this index."""
        kept, history = training.selections[m].kept, training.history[m]
        record = history[kept.epoch - 1] if kept and kept.epoch <= len(history) else None
        return cls(
            index=index,
            settings=settings,
            best_epoch=record.epoch if record else None,
            validation_accuracy=record.validation_accuracy if record else None,
            validation_loss=record.validation_loss if record else None,
            validation_measures=record.validation_measures if record else {},
            diverged=training.diverged[m],
            standing=record.standing(training.select_by) if record else None,
            history=history,
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the candidate as plain Python objects, but for its history."""
        hidden = ("index", "validation_measures", "standing", "history")
        found = {key: value for key, value in self.__dict__.items() if key not in hidden}
        return found | {f"validation_{k}": v for k, v in self.validation_measures.items()}

    def rank(self) -> tuple[bool, float, float, int]:
        """Return what to sort by, best first.

        Of models with equal figures that with the lower validation loss comes first, unless the
        sweep is over losses, which do not compare; then the one that was asked for first.
        """
        figure, loss = self.standing or (-math.inf, -math.inf)
        tie = 0.0 if "loss" in self.settings else -loss
        return self.diverged is not None, -figure, tie, self.index


def write_tables(path: pathlib.Path, ranked: Sequence[Candidate]) -> None:
    """Write the models of a sweep, and the history of each, into a run directory."""
    table = [candidate.to_mapping() for candidate in ranked]
    write_atomically(path / SWEEP_TABLE, (to_json(table, indent=2) + "\n").encode())
    lines = [
        to_json({"model": place, **record.to_mapping()}) + "\n"
        for place, candidate in enumerate(ranked)
        for record in candidate.history
    ]
    write_atomically(path / SWEEP_HISTORY, "".join(lines).encode())
