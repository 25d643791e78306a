"""Collects what a report shows of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config, config_text
from backprop_cli.config.convert import descent_of
from backprop_cli.evaluation.metrics import evaluate_model
from backprop_cli.evaluation.predictions import decided
from backprop_cli.reporting.report.view import Predictions, RunView
from backprop_cli.runs.calibration import load_temperature
from backprop_cli.runs.candidate import load_table
from backprop_cli.runs.convergence import optimality_text
from backprop_cli.runs.history import load_history
from backprop_cli.runs.opened import OpenedRun
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
        predictions = Predictions(shown, decided(model, part, temperature or 1.0), part)
    history = load_history(run.path)
    return RunView(
        name=run.path.name or str(run.path),
        config=run.config.to_mapping(),
        config_text=config_text(run.config),
        history=history,
        training=_training_text(run),
        kept_epoch=_kept_epoch(run, history),
        evaluations={n: evaluate_model(model, part) for n, part in present.items()},
        class_names=model.class_names,
        image_shape=model.image_shape,
        weights=model.weights,
        predictions=predictions,
        temperature=temperature,
        sweep=load_table(run.path),
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


def _training_text(run: OpenedRun) -> str | None:
    """Return how near the optimum the training ended; None where the summary does not say."""
    found = None if run.summary is None else run.summary.train
    if found is None or found.cost is None or found.gradient_norm is None:
        return None
    return optimality_text(found.model_dump())


def _kept_epoch(run: OpenedRun, history: Sequence[Mapping[str, Any]]) -> int:
    """Return the epoch whose weights are the model."""
    if run.summary is not None and run.summary.kept_epoch <= len(history):
        return run.summary.kept_epoch
    return _best_epoch(history, run.config)


def _best_epoch(history: Sequence[Mapping[str, Any]], config: Config) -> int:
    """Return the epoch that a run without a summary has kept so far."""
    if not history:
        return 0
    training = config.training
    if training.solver == "lbfgs":
        return len(history)
    records = [EpochRecord.from_mapping(line) for line in history]
    standings = {r.epoch: s for r in records if (s := r.standing(training.select_by)) is not None}
    if training.keep == "last" or not standings:
        return len(history)
    return max(standings, key=lambda epoch: standings[epoch])  # of equal ones the first
