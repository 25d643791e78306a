"""Training before its first step, of a config or of a run with its weights, and some steps on."""

from __future__ import annotations

import pathlib

import numpy as np

from backprop_cli.config import Config
from backprop_cli.config.convert import descent_of, settings_of
from backprop_cli.engine import blas_threads
from backprop_cli.errors import ConfigError
from backprop_cli.fitting import prepare
from backprop_cli.formats import load_dataset
from backprop_cli.runs.history import load_history
from backprop_cli.runs.run_directory import load_run, load_summary
from backprop_cli.solvers.descent import Descent


def of_config(config: Config) -> Descent:
    """Return training by mini-batches before its first step, whatever the solver of a config is."""
    dataset = load_dataset(config.data)
    return prepare(dataset, settings_of([config]), descent_of([config]), dry=True)


def of_run(path: str, overrides: tuple[str, ...]) -> tuple[Config, Descent]:
    """Return a run's config, and training before its first step at the run's weights.

    Parameters
    ----------
    path
        The run directory.
    overrides
        Texts ``dotted.key=value``.

    Raises
    ------
    ModelFileError, DataError, ConfigError
        It is no run, or its weights do not fit the data or the overrides.
    """
    config, model = load_run(path, overrides)
    dataset = load_dataset(config.data, model.class_names)
    model.check(dataset.train.source)
    standardization = model.standardization_for(dataset.image)
    descent = prepare(
        dataset, settings_of([config]), descent_of([config]), None, standardization, dry=True
    )
    weights, bias = model.parameters(dataset.image)
    if weights.shape != descent.state.W.shape:
        raise ConfigError(
            f"{path}: its weights are {weights.shape[1:]}; leave out --set model.outputs"
        )
    descent.state.W[...], descent.state.b[...] = weights, bias
    return config, descent


def refuse_lbfgs(config: Config, what: str) -> None:
    """Refuse what is about steps of mini-batches where a config trains by L-BFGS."""
    if config.training.solver == "lbfgs":
        raise ConfigError(
            f"{what}: this config trains by L-BFGS, which has no learning rate and makes no "
            "updates by mini-batches; --set training.solver=sgd looks at mini-batch descent instead"
        )


def after_steps(config: Config, descent: Descent, k: int, run: str | None = None) -> Descent:
    """Return the same training from its start, after k updates.

    Parameters
    ----------
    config, descent
        As `of_config` or `of_run` have them.
    k
        The number of updates.
    run
        A run that was trained just so: if it has finished, no more updates than it made.

    Raises
    ------
    ConfigError
        Training makes fewer, makes none of mini-batches, or has diverged by then.
    """
    refuse_lbfgs(config, f"--step {k}")
    fresh = prepare(
        descent.dataset, descent.settings, descent.solver, standardization=descent.standardization
    )
    per_epoch, n_epochs = fresh.steps_per_epoch, fresh.n_epochs
    if run is not None and load_summary(pathlib.Path(run)) is not None:
        n_epochs = len(load_history(pathlib.Path(run)))  # fewer, if it stopped early
    if k > n_epochs * per_epoch:
        raise ConfigError(f"--step {k}: training makes {n_epochs * per_epoch} updates")
    if not fresh.engine.prepare():
        fresh.engine.wait()
    state, limit = fresh.state, np.full(len(fresh.settings.models), np.inf)
    with blas_threads(fresh.threads), np.errstate(over="ignore", invalid="ignore"):
        for made in range(0, k, per_epoch):
            batches = fresh.plan.epoch(made // per_epoch).some(0, min(per_epoch, k - made))
            rates = fresh.solver.rates(made // per_epoch, per_epoch)[: k - made]
            fresh.steps(state, batches, rates.astype(state.W.dtype), limit)
    if not (np.isfinite(state.W).all() and np.isfinite(state.b).all()):
        raise ConfigError(f"--step {k}: training has diverged by then; take fewer updates")
    return fresh
