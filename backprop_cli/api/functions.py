"""The functions: each takes what its command takes, and returns what it finds."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backprop_cli.api.results import (
    Explained,
    GradientCheck,
    Predictions,
    RunEvaluation,
    TrainedRun,
)
from backprop_cli.config import Config, check_config, load_config
from backprop_cli.config.paths import with_absolute_paths
from backprop_cli.errors import ConfigError, DataError, first_line
from backprop_cli.evaluation.metrics import evaluate_model
from backprop_cli.evaluation.predictions import predicted_blocks
from backprop_cli.formats.feature_files import as_features
from backprop_cli.formats.inputs import read_inputs
from backprop_cli.gradcheck import compare_engines, move_to_generic_point
from backprop_cli.model import LinearModel
from backprop_cli.reporting.explain import at_the_start
from backprop_cli.reporting.explain import explain as describe
from backprop_cli.runs.beginning import of_config
from backprop_cli.runs.calibration import load_temperature
from backprop_cli.runs.opened import open_run
from backprop_cli.runs.run import Run
from backprop_cli.runs.run_directory import load_run
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import Source, check_features

ConfigLike: TypeAlias = str | os.PathLike[str] | Mapping[str, Any]
"""A YAML file, or a mapping with the same keys."""

RunLike: TypeAlias = str | os.PathLike[str] | TrainedRun
"""A run directory, or what `train` returned."""


def train(
    config: ConfigLike,
    *,
    settings: Mapping[str, Any] | None = None,
    output: str | os.PathLike[str] | None = None,
    observer: Observer | None = None,
) -> TrainedRun:
    """Train a classifier, as ``backprop train`` does.

    Parameters
    ----------
    config
        A YAML file, or a mapping with the same keys.
    settings
        Values of dotted keys that take precedence, as in ``{"training.epochs": 10}``.
    output
        The run directory; by default the config's. One that holds a run is refused.
    observer
        Hears of the progress.

    Raises
    ------
    BackpropError
        The config, the data or the folder cannot be used, or training diverged.
    """
    folder = None if output is None else os.fspath(output)
    run = Run(with_absolute_paths(_config(config, settings), folder))
    return TrainedRun(run.path, run.train(observer or Observer()))


def evaluate(
    run: RunLike, split: str = "test", *, settings: Mapping[str, Any] | None = None
) -> RunEvaluation:
    """Evaluate a run's model, as ``backprop eval`` does.

    Parameters
    ----------
    run
        The run directory, or what `train` returned.
    split
        train, validation or test.
    settings
        Other files of data, as in ``{"data.test": "other.npy"}``.
    """
    if split not in ("train", "validation", "test"):
        raise DataError(f"split: expected train, validation or test, found {split!r}")
    opened = open_run(_folder(run), _overrides(settings))
    found = evaluate_model(opened.model, opened.split(split))
    return RunEvaluation(split, found, tuple(opened.notes()))


def predict(run: RunLike, inputs: Any) -> Predictions:
    """Classify new examples, as ``backprop predict`` does.

    Parameters
    ----------
    run
        The run directory, or what `train` returned.
    inputs
        An array, n x d or n x height x width (x channels); or the name of a file, or several.

    Returns
    -------
    Predictions
        After ``backprop calibrate``, probabilities are those at its temperature.
    """
    folder = pathlib.Path(_folder(run))
    config, model = load_run(str(folder))
    if isinstance(inputs, str | os.PathLike):
        inputs = [inputs]
    if isinstance(inputs, Sequence) and all(isinstance(i, str | os.PathLike) for i in inputs):
        names, source = read_inputs([os.fspath(name) for name in inputs], config.data, model)
    else:
        source = _array_source(np.asarray(inputs), model)
        names = [str(k) for k in range(len(source))]
    probabilities = np.empty((len(source), model.n_classes), model.weights.dtype)
    decisions = np.empty(len(source), np.intp)
    temperature = load_temperature(folder) or 1.0
    for block in predicted_blocks(model, source, np.arange(len(source)), temperature):
        probabilities[block.examples] = block.probabilities()
        decisions[block.examples] = block.decisions()
    return Predictions(names, model.class_names, probabilities, decisions)


def explain(
    config: ConfigLike, example: int = 0, *, settings: Mapping[str, Any] | None = None
) -> Explained:
    """Explain one training example's gradient, as ``backprop explain`` does.

    Parameters
    ----------
    config, settings
        As for `train`.
    example
        Its index, from 0.
    """
    found = _config(config, settings)
    descent = of_config(found)
    return Explained(describe(descent, example, at_the_start(found.training.seed)))


def gradcheck(
    config: ConfigLike,
    *,
    settings: Mapping[str, Any] | None = None,
    samples: int | None = 200,
    examples: int | None = None,
) -> GradientCheck:
    """Check the gradient that a config trains with, as ``backprop gradcheck`` does.

    Parameters
    ----------
    config, settings
        As for `train`.
    samples
        Coordinates per parameter, for derivations whose cost grows with them; None: all.
    examples
        Take only the first of the mini-batch; None: all.
    """
    found = _config(config, settings)
    seed, descent = found.training.seed, of_config(found)
    move_to_generic_point(descent, seed)
    return GradientCheck.of(compare_engines(descent, samples, seed, examples))


def _config(config: ConfigLike, settings: Mapping[str, Any] | None) -> Config:
    if isinstance(config, Mapping):
        return check_config(_json("config", config), "config", _overrides(settings))
    return load_config(os.fspath(config), _overrides(settings))


def _overrides(settings: Mapping[str, Any] | None) -> tuple[str, ...]:
    return tuple(f"{key}={_json(key, value)}" for key, value in (settings or {}).items())


def _json(name: str, value: Any) -> str:
    """Return a value as JSON, which is YAML too."""
    try:
        return json.dumps(value, default=os.fspath)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{name}: expected numbers, texts, lists and mappings of Python: {first_line(error)}"
        ) from error


def _folder(run: RunLike) -> str:
    return str(run.path) if isinstance(run, TrainedRun) else os.fspath(run)


def _array_source(array: NDArray[Any], model: LinearModel) -> Source:
    """Return the examples of an array, checked."""
    features, image = as_features(array, "inputs")
    if not len(features):
        raise DataError("inputs: expected examples, found none")
    source = Source(features, np.empty(0, np.int64), "inputs", image)
    model.check(source)
    check_features(source, model.standardization_for(image), model.weights.dtype)
    return source
