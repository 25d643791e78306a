"""``backprop train``."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import shlex
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.options import json_option, set_option
from backprop_cli.cli.report import refuse_without_matplotlib, write_report

if TYPE_CHECKING:
    from backprop_cli.config import Config
    from backprop_cli.evaluation.metrics import Evaluation
    from backprop_cli.runs.run import Interrupted, Result, Run


@click.command()
@click.option("--config", "config_file", metavar="FILE", type=click.Path(), help="The YAML config.")
@set_option
@click.option("--output", metavar="DIR", type=click.Path(), help="The run directory.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in the run directory, to the same bits."
)
@click.option(
    "--report", is_flag=True, help="Write the pictures and the page of the run at its end."
)
@click.option("--tensorboard", is_flag=True, help="Log every epoch for TensorBoard too.")
@click.option("--dry-run", is_flag=True, help="Print the complete config and the shapes; stop.")
@json_option
def train(
    config_file: str | None,
    overrides: tuple[str, ...],
    output: str | None,
    resume: bool,
    report: bool,
    tensorboard: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a classifier. Model, history and figures go to the run directory.

    An interrupted run goes on with: backprop train --resume --output DIR
    """
    from backprop_cli.cli.interrupts import deferred_interrupts
    from backprop_cli.cli.progress import ProgressBar
    from backprop_cli.config import load_config
    from backprop_cli.runs.identity import with_saved_compute
    from backprop_cli.runs.run import Interrupted, Run
    from backprop_cli.runs.run_directory import run_config_file

    if config_file is None:
        if not (resume and output):
            raise click.UsageError("expected --config FILE, or --resume --output DIR")
        config_file = str(run_config_file(output))
    config = with_absolute_paths(load_config(config_file, overrides), output)
    if resume:
        saved = load_config(run_config_file(config.output))
        config = with_saved_compute(config, saved.compute)
    if report:
        refuse_without_matplotlib("--report")
    if tensorboard:
        _refuse_without_tensorboard()
    run = Run(config)
    if dry_run:
        click.echo(_description(run, as_json))
        return
    try:
        with deferred_interrupts() as interrupts, ProgressBar(interrupts) as progress:
            if tensorboard:
                progress.log_to(config.output)
            result = run.train(progress, resume=resume)
    except Interrupted as stop:
        tell_how_to_go_on(stop, "train")
        raise click.exceptions.Exit(interrupts.exit_status) from None
    click.echo(json.dumps(result.to_mapping()) if as_json else summary_text(result))
    if report:
        page = write_report(str(result.path), "test")
        if not as_json:
            click.echo(f"{'report':<12}{shown(pathlib.Path(page))}")


def tell_how_to_go_on(stop: Interrupted, command: str) -> None:
    """Say on stderr what an interrupted command left, and how it goes on."""
    epochs = "1 epoch" if stop.epochs == 1 else f"{stop.epochs} epochs"
    how = f"--resume --output {shlex.quote(shown(stop.path))}"
    how = f"backprop {command} {how}" if command == "train" else f"the same command and {how}"
    click.echo(f"Interrupted after {epochs}. To go on: {how}", err=True)


def _refuse_without_tensorboard() -> None:
    from backprop_cli.errors import ConfigError

    if importlib.util.find_spec("tensorboardX") is None:
        raise ConfigError(
            "--tensorboard needs tensorboardX, found none: install backprop-cli[tensorboard]"
        )


def with_absolute_paths(config: Config, output: str | None) -> Config:
    """Return the config with paths that hold from any folder, and the output of the option."""
    from backprop_cli.errors import OutputError

    data = {}
    for key in config.data.path_keys:
        value = getattr(config.data, key)
        if isinstance(value, str):
            data[key] = str(pathlib.Path(value).expanduser().absolute())
    folder = config.output if output is None else output
    if not folder:
        raise OutputError("--output: expected a folder, found ''")
    try:
        folder = str(pathlib.Path(folder).expanduser().absolute())
    except RuntimeError as error:
        raise OutputError(f"{folder}: there is no such user") from error
    return config.model_copy(update={"data": config.data.model_copy(update=data), "output": folder})


def _description(run: Run, as_json: bool) -> str:
    """Return what would be trained, and on what."""
    from backprop_cli.config import config_text

    data, trainer = run.dataset, run.trainer
    sizes = {
        name: 0 if split is None else len(split)
        for name in ("train", "validation", "test")
        for split in [data.split(name)]
    }
    weights, bias = trainer.engine.W[0].shape, trainer.engine.b[0].shape
    shapes = {
        "examples": sizes,
        "features": data.n_features,
        "image": data.image_shape,
        "classes": list(data.class_names),
        "weights": weights,
        "bias": bias,
        "batch_size": trainer.batch_size,
        "steps_per_epoch": trainer.steps_per_epoch,
        "output": run.config.output,
    }
    if as_json:
        return json.dumps({"config": run.config.to_mapping(), "shapes": shapes})
    image = " x ".join(map(str, data.image_shape)) if data.image_shape else "no image"
    return "\n".join(
        [
            config_text(run.config),
            f"examples    {', '.join(f'{name} {size}' for name, size in sizes.items())}",
            f"features    {data.n_features} ({image})",
            f"classes     {data.n_classes}: {_names(data.class_names)}",
            f"weights     {' x '.join(map(str, weights))}, bias {bias[0]}",
            f"steps       {trainer.steps_per_epoch} an epoch of {trainer.batch_size} examples each",
        ]
    )


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def summary_text(result: Result) -> str:
    """Return a finished run's figures."""
    lines = [
        _line(name, evaluation)
        for name, evaluation in (("validation", result.validation), ("test", result.test))
        if evaluation is not None
    ]
    lines.append(f"{'epoch':<12}{result.kept_epoch} kept of {result.epochs}")
    lines.append(f"{'run':<12}{shown(result.path)}")
    return "\n".join(lines)


def _line(name: str, figures: Evaluation) -> str:
    return (
        f"{name:<12}accuracy {100 * figures.accuracy:.2f} %   loss {figures.loss:.4f}   "
        f"({figures.n_examples} examples)"
    )


def shown(path: pathlib.Path) -> str:
    """Return a path relative to the working directory where it lies below it."""
    try:
        return str(path.relative_to(pathlib.Path.cwd()))
    except ValueError:
        return str(path)
