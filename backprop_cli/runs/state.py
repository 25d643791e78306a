"""The schema of a checkpoint: what it may say of the state of training, and of a sweep."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from backprop_cli.config import Config
from backprop_cli.runs.history import HistoryLine
from backprop_cli.runs.stored import Figure, Number, Stored

FORMAT = 6

Pair = Field(strict=False)  # JSON has lists where Python has pairs


class Part(Stored):
    """A part of a checkpoint; this program alone writes it, so that it has no other keys."""

    model_config = ConfigDict(extra="forbid")


class Content(Part):
    """All that a checkpoint says besides its arrays."""

    format: Literal[6]
    training: dict[str, Any]
    about: dict[str, Any]


Histories = list[list[HistoryLine]]


class SelectionState(Part):
    """What is kept of a model; see `Selection`. The figure of an epoch may be NaN."""

    model_config = ConfigDict(allow_inf_nan=True)

    kept_epoch: Number | None
    best_epoch: Number
    best: Annotated[tuple[float, float], Pair] | None
    stopped: bool


class StepFiguresState(Part):
    """Sums over the steps of an epoch that is not finished; see `StepFigures`."""

    losses: list[Figure]
    right: list[Number]


class DescentState(Part):
    """Mini-batch descent of some models; see `Descent.progress`."""

    epochs_finished: Number
    step: Number
    seconds: Annotated[Figure, Field(ge=0)]
    of_steps: StepFiguresState
    diverged: list[str | None]
    history: Histories
    selections: list[SelectionState]


class OptimalityState(Part):
    """How far from the optimum a model is, at most; see `Optimality`."""

    cost: Annotated[Figure, Field(ge=0)]
    gap: Annotated[Figure, Field(ge=0)] | None
    gradient_norm: Annotated[Figure, Field(ge=0)]


class TriedState(Part):
    """A length that a line search has tried, where the cost may have been infinite."""

    model_config = ConfigDict(allow_inf_nan=True)

    t: Annotated[float, Field(ge=0, le=1e200)]
    cost: float
    slope: float


class SearchState(Part):
    """L-BFGS of a model; see `Lbfgs.progress`."""

    cost: Figure
    remembered: Annotated[int, Field(ge=0, le=1000)]
    iterations: Number
    length: Annotated[Figure, Field(ge=0)]
    trials_in_all: Number
    stuck: bool
    trials: Number
    t: Annotated[Figure, Field(gt=0)]
    low: TriedState
    high: TriedState | None


class BoundsState(Part):
    """What a model's arrival is judged by."""

    norm: Annotated[Figure, Field(ge=0)]
    asked: Annotated[float, Field(ge=0)]
    after: Annotated[int, Field(ge=0)]


class LbfgsState(Part):
    """L-BFGS of some models; see `LbfgsTraining.progress`."""

    epochs_finished: Number
    unjudged: list[Number]
    dtype: Literal["float32", "float64"]
    refined: bool
    history: Histories
    paths: list[list[Number]]
    found: list[Annotated[tuple[Number, OptimalityState], Pair]]
    bounds: list[Annotated[tuple[Number, BoundsState], Pair]]
    hessians: list[Annotated[tuple[Number, Number], Pair]]
    searches: list[Annotated[tuple[Number, SearchState], Pair]]


class CandidateState(Part):
    """A model of a sweep whose pass is over; see `Candidate`."""

    index: Number
    best_epoch: Number | None
    diverged: str | None
    history: list[HistoryLine]


class SweepState(Part):
    """What the checkpoint of a sweep says besides the state of the pass that is trained."""

    model_config = ConfigDict(populate_by_name=True)

    sweep: list[Config]
    pass_: Annotated[Number, Field(alias="pass")]
    winner: Number | None
    certificate: OptimalityState | None
    finished: list[CandidateState]
