"""The history of a run: a record per epoch, as it stands in files."""

from __future__ import annotations

import io
import pathlib
from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from backprop_cli.errors import ModelFileError
from backprop_cli.evaluation.measures import MEASURES
from backprop_cli.regular import read_regular
from backprop_cli.runs.stored import Figure, Number, Share, Stored, mistake, parsed, problem
from backprop_cli.solvers.observer import TrainFigures

FILE_NAME = "metrics.jsonl"
_MAX_BYTES, _MAX_LINE = 2**26, 10_000
_PREFIX = "validation_"


class HistoryLine(Stored):
    """What a file says of an epoch; see `EpochRecord`. Other keys are measures of validation."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Share | None]

    epoch: Annotated[Number, Field(ge=1)]
    seconds: Annotated[Figure, Field(ge=0)]
    learning_rate: Annotated[Figure, Field(ge=0)]
    train_loss: Figure | None
    train_cost: Figure | None
    train_accuracy: Share | None
    validation_loss: Figure | None
    validation_accuracy: Share | None
    train_figures: TrainFigures = "evaluation"

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        mapping: dict[str, Any] = handler(self)
        if self.train_figures == "evaluation":  # which is what a line without it means
            del mapping["train_figures"]
        return mapping

    @model_validator(mode="after")
    def _check(self) -> HistoryLine:
        for key in self.model_extra or {}:
            if not key.startswith(_PREFIX) or key.removeprefix(_PREFIX) not in MEASURES:
                raise mistake(f"measures of validation besides the figures, found {key[:60]!r}")
        if (self.validation_loss is None) != (self.validation_accuracy is None):
            raise mistake("validation_loss and validation_accuracy, or neither")
        return self


def load_history(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the lines of a run's history; none if no epoch has finished.

    Raises
    ------
    ModelFileError
        It is broken; the message names the line.
    """
    file = path / FILE_NAME
    try:
        content = io.BytesIO(read_regular(file, _MAX_BYTES))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelFileError(f"{file}: cannot read: {error.strerror or error}") from error
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(content, 1):
        try:
            if len(text) > _MAX_LINE:
                raise ValueError(f"expected at most {_MAX_LINE} bytes, found {len(text)}")
            line = HistoryLine.model_validate(parsed(text))
            if line.epoch != number:
                raise ValueError(f"expected epoch {number}, found {line.epoch}")
        except ValueError as error:
            why = problem(error)
            raise ModelFileError(f"{file}:{number}: not the figures of an epoch: {why}") from error
        lines.append(line.model_dump())
    return lines
