"""Collects what a report shows of a run."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config, config_text
from backprop_cli.config.convert import descent_of
from backprop_cli.errors import ModelFileError
from backprop_cli.evaluation.metrics import evaluate_model
from backprop_cli.reporting.report.view import Predictions, RunView
from backprop_cli.runs.calibration import load_temperature
from backprop_cli.runs.convergence import optimality_text
from backprop_cli.runs.opened import OpenedRun
from backprop_cli.runs.run_directory import SWEEP_TABLE, load_history
from backprop_cli.solvers.observer import EpochRecord


def run_view(run: OpenedRun, split: str) -> RunView:
    """Return what there is to show of a run.

    Parameters
    ----------
    run
        The run.
    split
        The split whose examples are shown; another one if there are none.

    Raises
    ------
    ModelFileError
        If a file of the run is broken.
    DataError
        If examples do not fit the model.
    """
    model, dataset = run.model, run.dataset
    parts = {name: dataset.split(name) for name in ("validation", "test", split)}
    present = {name: part for name, part in parts.items() if part is not None}
    temperature, predictions = load_temperature(run.path), None
    if present:
        shown = split if split in present else next(iter(present))
        part = present[shown]
        probabilities, decisions = model.predict(part.source, part.rows, temperature or 1.0)
        predictions = Predictions(shown, probabilities, decisions, part)
    history = load_history(run.path)
    return RunView(
        name=run.path.name or str(run.path),
        config=run.config.to_mapping(),
        config_text=config_text(run.config),
        history=history,
        training=_training_text(run.summary or {}),
        kept_epoch=_kept_epoch(run.summary or {}, history, run.config),
        evaluations={n: evaluate_model(model, part) for n, part in present.items()},
        class_names=model.class_names,
        image_shape=model.image_shape,
        weights=model.weights,
        predictions=predictions,
        temperature=temperature,
        sweep=_sweep_table(run.path / SWEEP_TABLE),
        rates=_rates(run.config, len(dataset.train), len(history)),
    )


def _rates(config: Config, n_examples: int, n_epochs: int) -> NDArray[np.float64] | None:
    """Return the learning rate of every step, epochs x steps, if it changes within an epoch."""
    if config.training.solver != "sgd" or not n_epochs:
        return None
    solver = descent_of([config])
    if solver.epochs is None or solver.rules[0].learning_rate is None:
        return None  # no epoch has finished, so what they became is not in the config
    steps = -(-n_examples // min(solver.batch_size, n_examples))
    rates = np.stack([solver.rates(epoch, steps)[:, 0] for epoch in range(n_epochs)])
    return rates if (rates != rates[:, :1]).any() else None


def _training_text(summary: Mapping[str, Any]) -> str | None:
    """Return how near the optimum the training ended; None where the summary does not say."""
    try:
        return optimality_text(summary["train"])
    except (KeyError, TypeError, ValueError):
        return None


def _kept_epoch(
    summary: Mapping[str, Any], history: Sequence[Mapping[str, Any]], config: Config
) -> int:
    """Return the epoch whose weights are the model."""
    found = summary.get("kept_epoch")
    if type(found) is int and 0 <= found <= len(history):
        return found
    return _best_epoch(history, config)


def _best_epoch(history: Sequence[Mapping[str, Any]], config: Config) -> int:
    """Return the epoch that a run without a summary has kept so far."""
    if not history:
        return 0
    records = [EpochRecord.from_mapping(line) for line in history]
    standings = [s for r in records if (s := r.standing(config.training.select_by)) is not None]
    if config.training.keep == "last" or len(standings) < len(history):
        return records[-1].epoch
    return records[standings.index(max(standings))].epoch


def _sweep_table(path: pathlib.Path) -> list[dict[str, Any]] | None:
    """Return the rows of the table of a sweep, checked; None if the run is not of a sweep."""
    try:
        content = json.loads(path.read_text("utf-8"))
        rows = [
            {key: row[key] for key in ("settings", "validation_accuracy", "diverged")}
            for row in content
        ]
        if any(dict(row["settings"]).keys() != rows[0]["settings"].keys() for row in rows):
            raise ValueError("models of different keys")
        if not all(type(row["validation_accuracy"]) in (float, type(None)) for row in rows):
            raise ValueError("an accuracy that is not a number")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: not the table of a sweep: {error}") from error
    return rows
