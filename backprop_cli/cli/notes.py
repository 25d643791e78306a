"""Notes on stderr: what one should know before trusting a run's figures."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import click

from backprop_cli.errors import printable

if TYPE_CHECKING:
    from backprop_cli.config import Config
    from backprop_cli.sources import Dataset


def note_unfinished(run: str) -> None:
    """Say so if a run was interrupted, diverged, or is still at work."""
    from backprop_cli.runs.run_directory import load_summary

    if load_summary(pathlib.Path(run)) is None:
        click.echo(f"Note: {printable(run)}: the run has not finished", err=True)


def note_other_data(run: str, config: Config, dataset: Dataset) -> None:
    """Say so if the files that a run was trained on hold other data by now."""
    from backprop_cli.sources import fingerprint

    if config.recorded is not None and fingerprint(dataset) != config.recorded.data:
        click.echo(
            f"Note: {printable(run)}: the data has changed since the run; examples of it may have "
            "been trained on",
            err=True,
        )
