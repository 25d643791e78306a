"""The calibration of a run: fitted on its validation examples, kept in its folder."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from backprop_cli.atomic import write_atomically
from backprop_cli.engine import class_scores
from backprop_cli.errors import DataError, ModelFileError
from backprop_cli.evaluation.predictions import decided
from backprop_cli.evaluation.reliability import reliability
from backprop_cli.evaluation.temperature import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    fit_temperature,
)
from backprop_cli.jsontext import to_json
from backprop_cli.model import LinearModel
from backprop_cli.runs.opened import OpenedRun
from backprop_cli.runs.run_directory import model_digest
from backprop_cli.runs.stored import Stored, read_stored
from backprop_cli.sources import Split

FILE_NAME = "calibration.json"
_MAX_BYTES = 100_000


class _Fitted(Stored):
    """What the file is read for."""

    temperature: Annotated[float, Field(ge=MIN_TEMPERATURE / 2, le=2 * MAX_TEMPERATURE)]
    model_sha256: str


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what it was fitted on.

    Attributes
    ----------
    temperature
        What scores are divided by before SoftMax.
    fitted_on
        The number of validation examples.
    model_sha256
        The SHA-256 of the model file.
    errors
        The expected calibration error of each split, before and after.
    """

    temperature: float
    fitted_on: int
    model_sha256: str
    errors: dict[str, tuple[float, float]]

    def to_mapping(self) -> dict[str, Any]:
        """Return the calibration as plain Python objects."""
        mapping: dict[str, Any] = {
            "temperature": self.temperature,
            "fitted_on": self.fitted_on,
            "model_sha256": self.model_sha256,
        }
        for split, (before, after) in self.errors.items():
            mapping[f"{split}_calibration_error_before"] = before
            mapping[f"{split}_calibration_error_after"] = after
        return mapping


def calibrate(run: OpenedRun) -> Calibration:
    """Fit the temperature of a run's model on its validation examples.

    Raises
    ------
    ConfigError
        If scipy is not installed.
    DataError
        If there are no validation examples, or examples do not fit the model.
    """
    if run.dataset.validation is None:
        raise DataError(
            f"{run.path}: the run has no validation examples, on which a temperature is fitted; "
            "train one with data.validation, or backprop probe without --refit and --folds"
        )
    validation, test = run.split("validation"), run.dataset.test
    scores = class_scores(run.model.scores(validation.source, validation.rows)).T
    temperature = fit_temperature(scores, validation.own_labels())
    splits = {"validation": validation}
    if test is not None:
        splits["test"] = test
    return Calibration(
        temperature=temperature,
        fitted_on=len(validation),
        model_sha256=model_digest(run.path),
        errors={
            name: (_error(run.model, split, 1.0), _error(run.model, split, temperature))
            for name, split in splits.items()
        },
    )


def _error(model: LinearModel, split: Split, temperature: float) -> float:
    """Return the expected calibration error on a split."""
    found = decided(model, split, temperature)
    return reliability(found.confidence, found.decisions == split.own_labels()).error


def save_calibration(path: pathlib.Path, calibration: Calibration) -> pathlib.Path:
    """Write a calibration into a run directory; return the path of the file."""
    text = to_json(calibration.to_mapping(), indent=2) + "\n"
    write_atomically(path / FILE_NAME, text.encode())
    return path / FILE_NAME


def load_temperature(path: pathlib.Path) -> float | None:
    """Return the temperature of a run, or None if it was not calibrated.

    Raises
    ------
    ModelFileError
        If the file is broken, or belongs to another model than the run has now.
    """
    file = path / FILE_NAME
    found = read_stored(file, _Fitted, "a calibration", _MAX_BYTES)
    if found is None:
        return None
    if found.model_sha256 != model_digest(path):
        raise ModelFileError(
            f"{file}: fitted to another model than the run has now; run backprop calibrate again, "
            "or remove the file"
        )
    return found.temperature
