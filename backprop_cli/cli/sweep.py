"""``backprop sweep``."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.messages import (
    candidate_table,
    print_how_to_resume,
    print_notes,
    summary_text,
)
from backprop_cli.cli.options import config_option, json_option, packed, set_option
from backprop_cli.cli.output import show
from backprop_cli.cli.processes import processes
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.config import Config
    from backprop_cli.runs.settings import Settings


@dataclass(frozen=True)
class SweepOptions:
    """The options of ``backprop sweep``."""

    config_file: str
    overrides: tuple[str, ...]
    grids: tuple[str, ...]
    ranges: tuple[str, ...]
    sample: int | None
    output: str | None
    resume: bool
    as_json: bool


@click.command()
@config_option
@set_option
@click.option(
    "--grid",
    "grids",
    metavar="KEY=V1,V2,...",
    multiple=True,
    help="Values of a key; repeatable. Every combination is trained.",
)
@click.option(
    "--range",
    "ranges",
    metavar="KEY=LOW,HIGH",
    multiple=True,
    help="With --sample: draw a key log-uniformly between two numbers; repeatable.",
)
@click.option("--sample", type=click.IntRange(1, 10_000), help="Draw this many settings at random.")
@click.option("--output", metavar="DIR", type=click.Path(), help="The winner's run directory.")
@click.option("--resume", is_flag=True, help="Go on with the sweep in the run directory.")
@json_option
@packed(SweepOptions)
def sweep(options: SweepOptions) -> None:
    """Train many settings in one pass. Picks on validation, reports test for the winner alone.

    The winner's run directory is an ordinary run, with the table (sweep.json) and the history of
    every model (sweep.jsonl) beside it. Of equally good models the one with the lowest validation
    loss wins, then the first one.

    Keys to sweep: training.learning_rate, l2, training.momentum, training.nesterov,
    training.schedule, training.seed, loss, label_smoothing. With training.solver: lbfgs, l2 and
    label_smoothing; the values of l2 are trained from the largest to the smallest, each from the
    optimum of the one before.
    """
    from backprop_cli.cli.progress import ProgressBar, reading_bar
    from backprop_cli.cli.signals import stops
    from backprop_cli.runs.run_directory import refuse_results
    from backprop_cli.runs.session import Interrupted
    from backprop_cli.runs.sweep import Sweep

    communicator = processes.communicator
    settings, configs = communicator.first(lambda: _to_train(options))
    if not options.resume:
        communicator.first(lambda: refuse_results(pathlib.Path(configs[0].output)))
    with reading_bar() as tell:
        job = Sweep(configs, settings, communicator=communicator, tell=tell)
    try:
        with stops.deferred(), ProgressBar(stops) as progress:
            candidates, result = job.run(progress, resume=options.resume)
    except Interrupted as stop:
        print_how_to_resume(stop, "sweep")
        raise click.exceptions.Exit(stops.exit_status) from None
    if options.as_json:
        table = [candidate.to_mapping() for candidate in candidates]
        show(to_json({"models": table, "winner": result.to_mapping()}))
    else:
        show(candidate_table(candidates, result.ending.unit))
        show()
        show(summary_text(result))


def _to_train(options: SweepOptions) -> tuple[list[Settings], list[Config]]:
    """Return settings and configs; of a sweep that goes on, with the memory that it has."""
    from backprop_cli.runs.identity import notes_on_processes, with_saved_memory
    from backprop_cli.runs.sweep import first_of_sweep

    settings, configs = _settings(options)
    saved = first_of_sweep(configs[0].output) if options.resume else None
    if saved is None:
        return settings, configs
    print_notes(configs[0].output, notes_on_processes(saved, processes.size))
    return settings, [with_saved_memory(config, saved) for config in configs]


def _settings(options: SweepOptions) -> tuple[list[Settings], list[Config]]:
    """Return the settings to try, and the complete config of each."""
    from backprop_cli.cli.axes import check_axes, parse_axes
    from backprop_cli.config import check_config, read_config
    from backprop_cli.config.paths import with_absolute_paths
    from backprop_cli.errors import ConfigError
    from backprop_cli.rng import Stream, generator
    from backprop_cli.runs.settings import LBFGS_KEYS, combinations, draws

    text = read_config(options.config_file)

    def config_of(setting: Settings) -> Config:
        return check_config(text, options.config_file, options.overrides, setting)

    base = config_of({})
    values, bounds = parse_axes("--grid", options.grids), parse_axes("--range", options.ranges)
    check_axes(values, bounds, options.sample)
    for ends in zip(*bounds.values(), strict=True):  # all drawn values lie between them
        config_of(dict(zip(bounds, ends, strict=True)))
    if options.sample is None:
        settings = combinations(values)
    else:
        rng = generator(base.training.seed, Stream.SETTINGS)
        pairs = {key: (low, high) for key, (low, high) in bounds.items()}
        settings = draws(values, pairs, options.sample, rng)
    configs = [with_absolute_paths(config_of(setting), options.output) for setting in settings]
    without_effect = [k for k in (*values, *bounds) if k not in LBFGS_KEYS]
    if base.training.solver == "lbfgs" and without_effect:
        raise ConfigError(
            f"--grid {without_effect[0]}: has no effect with training.solver: lbfgs; sweep "
            f"{' and '.join(LBFGS_KEYS)}, or take training.solver: sgd"
        )
    if base.training.select_by == "loss" and len({config.loss for config in configs}) > 1:
        raise ConfigError(
            "--grid loss: training.select_by: loss would compare losses of two kinds; set it to "
            "accuracy"
        )
    return settings, configs
