"""Training before its first step, of a config or of a run with its weights."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import click

from backprop_cli.errors import ConfigError

if TYPE_CHECKING:
    from backprop_cli.config import Config
    from backprop_cli.solvers.descent import Descent

run_argument = click.argument("run", required=False, type=click.Path())
config_or_run_option = click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(), help="The YAML config."
)


def prepared(
    run: str | None, config_file: str | None, overrides: tuple[str, ...]
) -> tuple[Config, Descent]:
    """Return the config, and training before its first step.

    Parameters
    ----------
    run
        A run directory: training then has its weights.
    config_file
        A config; one of both is given.
    overrides
        Texts ``dotted.key=value``.
    """
    from backprop_cli.config import load_config
    from backprop_cli.config.convert import descent_of, settings_of
    from backprop_cli.fitting import prepare
    from backprop_cli.formats import load_dataset
    from backprop_cli.runs.run_directory import load_run

    if (run is None) == (config_file is None):
        raise click.UsageError("expected a RUN or --config FILE")
    if config_file is not None:
        config = load_config(config_file, overrides)
        dataset = load_dataset(config.data)
        return config, prepare(dataset, settings_of([config]), descent_of([config]))
    if pathlib.Path(str(run)).is_file():
        raise ConfigError(
            f"{run}: expected the folder of a run, found a file: write --config {run}"
        )
    config, model = load_run(str(run), overrides)
    dataset = load_dataset(config.data, model.class_names)
    model.check(dataset.train.source)
    standardization = model.standardization_for(dataset.image)
    descent = prepare(
        dataset, settings_of([config]), descent_of([config]), standardization=standardization
    )
    weights, bias = model.parameters(dataset.image)
    if weights.shape != descent.state.W.shape:
        raise ConfigError(
            f"{run}: its weights are {weights.shape[1:]}; leave out --set model.outputs"
        )
    descent.state.W[...], descent.state.b[...] = weights, bias
    return config, descent


def after_steps(descent: Descent, k: int) -> Descent:
    """Return the same training from its start, after k updates.

    Raises
    ------
    ConfigError
        Training makes fewer.
    """
    import numpy as np

    from backprop_cli.engine import blas_threads
    from backprop_cli.fitting import prepare

    fresh = prepare(
        descent.dataset, descent.settings, descent.solver, standardization=descent.standardization
    )
    per_epoch = fresh.steps_per_epoch
    if k > fresh.n_epochs * per_epoch:
        raise ConfigError(f"--step {k}: training makes {fresh.n_epochs * per_epoch} updates")
    if not fresh.engine.prepare():
        fresh.engine.wait()
    state, limit = fresh.state, np.full(len(fresh.settings.models), np.inf)
    with blas_threads(fresh.threads), np.errstate(over="ignore", invalid="ignore"):
        for made in range(0, k, per_epoch):
            batches = fresh.plan.epoch(made // per_epoch).some(0, min(per_epoch, k - made))
            rates = fresh.solver.rates(made // per_epoch, per_epoch)[: k - made]
            fresh.steps(state, batches, rates.astype(state.W.dtype), limit)
    return fresh
