"""One of the models of a sweep, and its place among them."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from backprop_cli.atomic import write_atomically
from backprop_cli.errors import ModelFileError
from backprop_cli.jsontext import to_json
from backprop_cli.runs.run_directory import SWEEP_HISTORY, SWEEP_TABLE
from backprop_cli.runs.settings import KEYS, Settings
from backprop_cli.runs.state import CandidateState
from backprop_cli.runs.state_check import check_history
from backprop_cli.runs.stored import Share, Stored, read_stored
from backprop_cli.solvers.observer import EpochRecord, Standing
from backprop_cli.solvers.training import Training

_MAX_TABLE = 2**24  # bytes
_Whole = Annotated[int, Field(ge=-(10**20), le=10**20)]
_Scalar = bool | _Whole | float | Annotated[str, Field(max_length=100)]
SettingValue = _Scalar | dict[str, _Scalar]


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
        best = kept.epoch if kept and kept.epoch <= len(history) else None
        told = training.diverged[m]
        return cls._with_figures(index, settings, best, told, history, training.select_by)

    @classmethod
    def restored(cls, state: CandidateState, settings: Settings, select_by: str) -> Candidate:
        """Return a model whose pass was over when a checkpoint was written.

        Raises
        ------
        ValueError
            Its best epoch is not in its history.
        """
        what, n, best = f"finished.{state.index}", len(state.history), state.best_epoch
        check_history(state.history, n, what)
        if best is not None and not 1 <= best <= n:
            raise ValueError(f"{what}: best_epoch from 1 to {n}")
        history = [EpochRecord.from_mapping(line.model_dump()) for line in state.history]
        return cls._with_figures(state.index, settings, best, state.diverged, history, select_by)

    @classmethod
    def _with_figures(
        cls,
        index: int,
        settings: Settings,
        best_epoch: int | None,
        diverged: str | None,
        history: list[EpochRecord],
        select_by: str,
    ) -> Candidate:
        record = None if best_epoch is None else history[best_epoch - 1]
        return cls(
            index=index,
            settings=settings,
            best_epoch=best_epoch,
            validation_accuracy=record.validation_accuracy if record else None,
            validation_loss=record.validation_loss if record else None,
            validation_measures=record.validation_measures if record else {},
            diverged=diverged,
            standing=record.standing(select_by) if record else None,
            history=history,
        )

    def state(self) -> dict[str, Any]:
        """Return what `restored` needs, as plain Python objects."""
        return {
            "index": self.index,
            "best_epoch": self.best_epoch,
            "diverged": self.diverged,
            "history": [record.to_mapping() for record in self.history],
        }

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


def best_candidate(finished: Sequence[Candidate]) -> Candidate | None:
    """Return the best model of those that have weights and did not diverge; None without any."""
    good = [c for c in finished if c.best_epoch is not None and not c.diverged]
    return min(good, key=Candidate.rank, default=None)


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


class _Row(Stored):
    """A row of the table that is read again, to be drawn."""

    settings: Annotated[dict[str, SettingValue], Field(min_length=1, max_length=len(KEYS))]
    validation_accuracy: Share | None
    diverged: str | None


def load_table(path: pathlib.Path) -> list[dict[str, Any]] | None:
    """Return the rows of the table of a sweep; None if the run is not of a sweep.

    Raises
    ------
    ModelFileError
        It is broken.
    """
    file = path / SWEEP_TABLE
    rows = read_stored(file, list[_Row], "the table of a sweep", _MAX_TABLE)
    if rows is None:
        return None
    if any(row.settings.keys() != rows[0].settings.keys() for row in rows):
        raise ModelFileError(f"{file}: not the table of a sweep: models of different keys")
    return [row.model_dump() for row in rows]
