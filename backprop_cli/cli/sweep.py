"""``backprop sweep``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from backprop_cli.cli.options import config_option, json_option, set_option

if TYPE_CHECKING:
    from backprop_cli.config import Config
    from backprop_cli.runs.sweep import Candidate


@click.command()
@config_option
@set_option
@click.option(
    "--grid",
    "grids",
    metavar="KEY=V1,V2,...",
    multiple=True,
    help="Values of a key; repeatable: every combination is trained.",
)
@click.option(
    "--range",
    "ranges",
    metavar="KEY=LOW,HIGH",
    multiple=True,
    help="With --sample: draw the key between two numbers, even in its logarithm; repeatable.",
)
@click.option("--sample", type=click.IntRange(1, 10_000), help="Draw so many settings at random.")
@click.option("--output", metavar="DIR", type=click.Path(), help="The winner's run directory.")
@click.option("--resume", is_flag=True, help="Go on with the sweep in the run directory.")
@json_option
def sweep(
    config_file: str,
    overrides: tuple[str, ...],
    grids: tuple[str, ...],
    ranges: tuple[str, ...],
    sample: int | None,
    output: str | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Train many settings in one pass. Picks on validation, reports test for the winner alone.

    The winner's run directory is an ordinary run, with the table (sweep.json) and every model's
    history (sweep.jsonl) beside it. Of equal models the first is taken.

    Keys to sweep: training.learning_rate, l2, training.momentum, training.nesterov,
    training.schedule, training.seed, loss, label_smoothing.
    """
    from backprop_cli.cli.interrupts import deferred_interrupts
    from backprop_cli.cli.progress import ProgressBar
    from backprop_cli.cli.train import summary_text, tell_how_to_go_on, with_absolute_paths
    from backprop_cli.config import check_config, read_config
    from backprop_cli.errors import ConfigError
    from backprop_cli.rng import Stream, generator
    from backprop_cli.runs.run import Interrupted
    from backprop_cli.runs.settings import combinations, draws
    from backprop_cli.runs.sweep import Sweep

    text = read_config(config_file)
    base = check_config(text, config_file, overrides)
    values = _axes("--grid", grids)
    bounds = _axes("--range", ranges)
    _check_axes(values, bounds, sample)
    for ends in zip(*bounds.values(), strict=True):  # all that is drawn lies between them
        check_config(text, config_file, overrides, dict(zip(bounds, ends, strict=True)))
    if sample is None:
        settings = combinations(values)
    else:
        rng = generator(base.training.seed, Stream.SETTINGS)
        settings = draws(values, {k: (v[0], v[1]) for k, v in bounds.items()}, sample, rng)
    configs: list[Config] = []
    for setting in settings:
        config = check_config(text, config_file, overrides, setting)
        configs.append(with_absolute_paths(config, output))
    if base.training.select_by == "loss" and len({config.loss for config in configs}) > 1:
        raise ConfigError(
            "--grid loss: training.select_by: loss would compare losses of two kinds; "
            "set it to accuracy"
        )
    job = Sweep(configs, settings)
    try:
        with deferred_interrupts() as interrupts, ProgressBar(interrupts) as progress:
            candidates, result = job.run(progress, resume=resume)
    except Interrupted as stop:
        tell_how_to_go_on(stop, "sweep")
        raise click.exceptions.Exit(interrupts.exit_status) from None
    if as_json:
        table = [candidate.to_mapping() for candidate in candidates]
        click.echo(json.dumps({"models": table, "winner": result.to_mapping()}))
    else:
        click.echo(_table(candidates))
        click.echo()
        click.echo(summary_text(result))


def _axes(option: str, texts: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return key -> values for ``KEY=V1,V2`` texts.

    Raises
    ------
    ConfigError
        No key that can be swept, a key twice, or no list of values.
    """
    from backprop_cli.config import parse_values
    from backprop_cli.errors import ConfigError
    from backprop_cli.runs.settings import KEYS

    axes: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, listing = text.partition("=")
        label = f"{option} {text}"
        if not equals:
            raise ConfigError(f"{label}: expected KEY=V1,V2, as in l2=0,1e-3")
        if key not in KEYS:
            raise ConfigError(
                f"{label}: {key!r} cannot be swept; expected one of {', '.join(KEYS)}"
            )
        if key in axes:
            raise ConfigError(f"{label}: {key} is given twice")
        if listing.lstrip().startswith(",") or ",," in listing.replace(" ", ""):
            raise ConfigError(f"{label}: expected a value before each comma")
        axes[key] = parse_values(listing, label)
    return axes


def _check_axes(
    values: dict[str, list[Any]], bounds: dict[str, list[Any]], sample: int | None
) -> None:
    from backprop_cli.errors import ConfigError
    from backprop_cli.runs.settings import REAL_KEYS

    if not values and not bounds:
        raise ConfigError(
            "a sweep needs --grid KEY=V1,V2,... or, with --sample, --range KEY=LOW,HIGH"
        )
    if bounds and sample is None:
        raise ConfigError("--range needs --sample N: how many settings to draw")
    for key, given in values.items():
        for number, value in enumerate(given):
            # In Python true equals 1; which of the two a key takes, the schema says.
            if any(value == v and (value is True) is (v is True) for v in given[:number]):
                raise ConfigError(f"--grid {key}: {json.dumps(value)} is given twice")
    for key, pair in bounds.items():
        if key not in REAL_KEYS:
            raise ConfigError(
                f"--range {key}: expected one of {', '.join(REAL_KEYS)}; give the values of "
                f"{key} by --grid"
            )
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in pair)
        if len(pair) != 2 or not numbers or not 0 < pair[0] < pair[1] < float("inf"):
            found = ",".join(map(str, pair))
            raise ConfigError(f"--range {key}={found}: expected LOW,HIGH with 0 < LOW < HIGH")
        if key in values:
            raise ConfigError(f"--range {key}: {key} has a --grid too")


def _table(candidates: list[Candidate]) -> str:
    keys = list(candidates[0].settings)
    rows = [[*keys, "validation", "loss", "epoch"]]
    for candidate in candidates:
        row = [_shown(candidate.settings[key]) for key in keys]
        if candidate.diverged:
            row += ["diverged", "", ""]
        elif candidate.validation_accuracy is None or candidate.validation_loss is None:
            row += ["no epoch", "", ""]
        else:
            row += [
                f"{100 * candidate.validation_accuracy:.2f} %",
                f"{candidate.validation_loss:.4f}",
                str(candidate.best_epoch),
            ]
        rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def _shown(value: Any) -> str:
    return json.dumps(value).replace('"', "")
