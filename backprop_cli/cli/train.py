"""``backprop train``."""

from __future__ import annotations

import importlib.util
import pathlib
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.messages import (
    print_how_to_resume,
    print_notes,
    shown_path,
    summary_text,
    titled,
)
from backprop_cli.cli.options import json_option, packed, set_option
from backprop_cli.cli.output import show
from backprop_cli.cli.processes import processes
from backprop_cli.errors import OutputError, printable
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.config import Config
    from backprop_cli.runs.run import Run


@dataclass(frozen=True)
class TrainOptions:
    """The options of ``backprop train``."""

    config_file: str | None
    overrides: tuple[str, ...]
    output: str | None
    resume: bool
    report: bool
    tensorboard: bool
    dry_run: bool
    as_json: bool


@click.command()
@click.option("--config", "config_file", metavar="FILE", type=click.Path(), help="The YAML config.")
@set_option
@click.option("--output", metavar="DIR", type=click.Path(), help="The run directory.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in the run directory, to the same bits."
)
@click.option("--report", is_flag=True, help="Write the report of the run when it has finished.")
@click.option("--tensorboard", is_flag=True, help="Also log every epoch for TensorBoard.")
@click.option("--dry-run", is_flag=True, help="Print the complete config and the shapes; stop.")
@json_option
@packed(TrainOptions)
def train(options: TrainOptions) -> None:
    """Train a classifier. Model, history and figures go to the run directory.

    An interrupted run goes on with: backprop train --resume --output DIR
    """
    from backprop_cli.cli.progress import ProgressBar, reading_bar
    from backprop_cli.cli.signals import stops
    from backprop_cli.runs.run import Run
    from backprop_cli.runs.run_directory import CONFIG, SUMMARY, refuse_results
    from backprop_cli.runs.session import Interrupted

    communicator = processes.communicator
    config = communicator.first(lambda: _config(options))
    _check_extras(options)
    if not (options.resume or options.dry_run):
        communicator.first(lambda: refuse_results(pathlib.Path(config.output)))
    with reading_bar() as tell:
        run = Run(config, communicator=communicator, dry=options.dry_run, tell=tell)
    if options.dry_run:
        show(_description(run, options.as_json))
        return
    print_notes(config.output, run.training.warnings)
    try:
        with stops.deferred(), ProgressBar(stops) as progress:
            if options.tensorboard and not processes.waits:
                progress.log_to(config.output)
            result = run.train(progress, resume=options.resume)
    except Interrupted as stop:
        print_how_to_resume(stop, "train")
        raise click.exceptions.Exit(stops.exit_status) from None
    except OutputError as error:
        folder = pathlib.Path(config.output)
        began = (folder / CONFIG).exists() and not (folder / SUMMARY).exists()
        if not began or not isinstance(error.__cause__, OSError):  # not for want of disk
            raise
        resume = f"backprop train --resume --output {shlex.quote(config.output)}"
        raise OutputError(f"{error}; once it can be written, go on: {resume}") from error
    if options.as_json:
        show(to_json(result.to_mapping()))
    else:
        show(summary_text(result) + _about_batch(config, len(run.dataset.train)))
    stops.end()
    if options.report and not processes.waits:
        page = _write_report(result.path)
        if not options.as_json:
            show(f"{'report':<12}{shown_path(page)}")


def _config(options: TrainOptions) -> Config:
    """Return the config to train with: of a file, or of the run that goes on."""
    from backprop_cli.config import load_config
    from backprop_cli.config.paths import with_absolute_paths
    from backprop_cli.runs.identity import (
        notes_on_processes,
        with_saved_compute,
        with_saved_memory,
    )
    from backprop_cli.runs.run_directory import run_config_file

    file = options.config_file
    if file is None:
        if not (options.resume and options.output):
            raise click.UsageError("expected --config FILE, or --resume --output DIR")
        file = str(run_config_file(options.output))
    config = with_absolute_paths(load_config(file, options.overrides), options.output)
    if options.resume:
        saved = load_config(run_config_file(config.output))
        notes = notes_on_processes(saved, processes.size)
        print_notes(config.output, notes)
        config = with_saved_compute(config, saved.compute, threads=not notes)
        config = with_saved_memory(config, saved)
    return config


def _about_batch(config: Config, n_examples: int) -> str:
    """Return a line that says that a batch size that was asked for is more than there is."""
    training = config.training
    asked = training.solver == "sgd" and "batch_size" in training.model_fields_set
    if not asked or training.batch_size <= n_examples:
        return ""
    return "\n" + titled(
        "note",
        f"training.batch_size is {training.batch_size}, but there are {n_examples} training "
        "examples: every step takes all of them",
    )


def _check_extras(options: TrainOptions) -> None:
    """Refuse to begin if something is not installed that is needed at the end."""
    from backprop_cli.errors import ConfigError

    if options.report:
        from backprop_cli.reporting.report.write import check_matplotlib

        check_matplotlib("--report")
    if options.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise ConfigError(
            "--tensorboard needs tensorboardX, found none: install backprop-cli[tensorboard]"
        )


def _write_report(path: pathlib.Path) -> pathlib.Path:
    from backprop_cli.reporting.report.load import run_view
    from backprop_cli.reporting.report.write import write_report
    from backprop_cli.runs.opened import open_run

    return write_report(path, run_view(open_run(str(path)), "test"))


def _description(run: Run, as_json: bool) -> str:
    """Return the config, and the shapes of data and model."""
    from backprop_cli.config import config_text

    data, training = run.dataset, run.training
    sizes = {
        name: 0 if split is None else len(split)
        for name in ("train", "validation", "test")
        for split in [data.split(name)]
    }
    kept = training.kept(0)
    weights, bias = kept.W.shape, kept.b.shape
    shapes = {
        "examples": sizes,
        "features": data.n_features,
        "image": data.image_shape,
        "classes": list(data.class_names),
        "weights": weights,
        "bias": bias,
        "batch_size": training.batch_size,
        "steps_per_epoch": training.steps_per_epoch,
        "shuffle": None if training.shuffle is None else training.shuffle.to_mapping(),
        "output": run.config.output,
    }
    if as_json:
        return to_json({"config": run.config.to_mapping(), "shapes": shapes})
    shuffle = training.shuffle
    image = " x ".join(map(str, data.image_shape)) if data.image_shape else "no image"
    return "\n".join(
        [
            config_text(run.config),
            f"examples    {', '.join(f'{name} {size}' for name, size in sizes.items())}",
            f"features    {data.n_features} ({image})",
            f"classes     {data.n_classes}: {_names(data.class_names)}",
            f"weights     {' x '.join(map(str, weights))}, bias {bias[0]}",
            f"steps       {training.steps_per_epoch} per epoch, "
            f"{training.batch_size} examples each",
            *([] if shuffle is None else [f"shuffle     {shuffle.line()}"]),
        ]
    )


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(map(printable, names[:10])) + (", ..." if len(names) > 10 else "")
