"""The options RUN and --config FILE, and training before its first step at what they name."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.messages import print_notes
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
    from backprop_cli.runs.beginning import of_config, of_run
    from backprop_cli.runs.opened import unfinished_notes
    from backprop_cli.runs.run_directory import load_summary

    if (run is None) == (config_file is None):
        raise click.UsageError("expected a RUN or --config FILE")
    if config_file is not None:
        config = load_config(config_file, overrides)
        return config, of_config(config)
    folder = pathlib.Path(str(run))
    if folder.is_file():
        raise ConfigError(
            f"{run}: expected the folder of a run, found a file: write --config {run}"
        )
    found = of_run(str(run), overrides)
    print_notes(str(run), unfinished_notes(load_summary(folder)))
    return found
