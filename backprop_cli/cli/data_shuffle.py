"""``backprop data shuffle``."""

from __future__ import annotations

import pathlib
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.options import packed
from backprop_cli.cli.output import show

if TYPE_CHECKING:
    from backprop_cli.formats.shuffle import FileShuffle


@dataclass(frozen=True)
class ShuffleOptions:
    """The options of ``backprop data shuffle``."""

    features: str
    output: str
    labels: str | None
    labels_column: str | None
    features_name: str | None
    labels_name: str | None
    memory: str
    seed: int
    resume: bool


@click.command()
@click.argument("features", metavar="IN", type=click.Path())
@click.argument("output", metavar="OUT", type=click.Path())
@click.option("--labels", metavar="FILE", type=click.Path(), help="The labels that go with IN.")
@click.option("--labels-column", metavar="NAME", help="The column of a .csv of labels.")
@click.option("--features-name", metavar="NAME", help="The array that holds the features.")
@click.option("--labels-name", metavar="NAME", help="The array that holds the labels.")
@click.option("--memory", metavar="SIZE", default="auto", help="As data.memory: 2 GB, for example.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Of the order.")
@click.option("--resume", is_flag=True, help="Go on with a shuffle that was stopped.")
@packed(ShuffleOptions)
def shuffle(options: ShuffleOptions) -> None:
    """Write the examples of IN into the folder OUT, in a random order.

    IN is a file of features or a pattern such as 'features/*.npy'. OUT gets features.npy,
    labels.npy if there are labels, and rows.npy: which row of IN each example was. Files of groups,
    weights or rows have to be put into that order too. Two passes over the files, in bounded
    memory; on disk it needs twice the size of the features while it works.
    """
    from tqdm import tqdm

    from backprop_cli.cli.messages import shown_path
    from backprop_cli.cli.signals import stops
    from backprop_cli.formats.shuffle import FEATURES, LABELS, ROWS

    job, folder, has_labels = _job(options)
    shown = shlex.quote(shown_path(folder))
    try:
        with (
            stops.deferred(),
            tqdm(total=job.steps, unit="example", disable=not _is_terminal()) as bar,
        ):

            def tell(made: int) -> None:
                bar.update(made)
                stops.check()

            job.run(tell, resume=options.resume)
    except KeyboardInterrupt:
        show(f"Interrupted. To go on: the same command and --resume ({shown})", err=True)
        raise click.exceptions.Exit(stops.exit_status) from None
    show(f"{'path':<12}{shown_path(folder / FEATURES)}")
    if has_labels:
        show(f"{'labels':<12}{shown_path(folder / LABELS)}")
    show(f"{'rows':<12}{shown_path(folder / ROWS)}")


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _job(options: ShuffleOptions) -> tuple[FileShuffle, pathlib.Path, bool]:
    """Return what is to be done, the folder, and whether there are labels."""
    from backprop_cli.errors import ConfigError, DataError
    from backprop_cli.formats.array_names import ArrayNames
    from backprop_cli.formats.feature_files import find_features
    from backprop_cli.formats.labels import read_label_values
    from backprop_cli.formats.memory import memory_limit
    from backprop_cli.formats.npy import check_order, check_pairs
    from backprop_cli.formats.shuffle import FileShuffle, has_finished, memory_of_shuffle

    try:
        limit = memory_limit(options.memory)
    except ValueError as error:
        raise ConfigError(f"--memory: {error}; a size is 2 GB or 500 MiB") from error
    found = find_features(options.features, ArrayNames(options.features_name, options.labels_name))
    labels = found.labels()
    if options.labels is not None:
        if labels is not None:
            raise DataError(f"--labels: {options.features} already holds the labels")
        check_order(found, options.labels)
        labels, parts = read_label_values(options.labels, options.labels_column)
        check_pairs(found, parts)
    try:
        folder = pathlib.Path(options.output).expanduser()
    except RuntimeError as error:
        raise DataError(f"{options.output}: there is no such user") from error
    memory = 2 * found.size if limit is None else limit
    if options.resume and options.memory == "auto" and not has_finished(folder):
        memory = memory_of_shuffle(folder)
    return FileShuffle(found, labels, folder, options.seed, memory), folder, labels is not None
