"""``backprop lr-range``."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.messages import columns, wrapped
from backprop_cli.cli.options import config_option, json_option, packed, set_option
from backprop_cli.cli.output import show
from backprop_cli.cli.outputs import refuse_suffix
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.solvers.rate_range import RateRange

_POSITIVE = click.FloatRange(min=0, min_open=True)


@dataclass(frozen=True)
class RangeOptions:
    """The command's options."""

    config_file: str
    overrides: tuple[str, ...]
    low: float
    high: float
    steps: int
    output: str | None
    as_json: bool


@click.command("lr-range")
@config_option
@set_option
@click.option(
    "--from", "low", type=_POSITIVE, default=1e-6, show_default=True, help="The first rate."
)
@click.option(
    "--to", "high", type=_POSITIVE, default=10.0, show_default=True, help="The last rate."
)
@click.option(
    "--steps", type=click.IntRange(10, 100_000), default=200, show_default=True,
    help="How many steps, each with a larger rate.",
)  # fmt: skip
@click.option(
    "--output", metavar="FILE.png", type=click.Path(), help="Draw the losses by the rate."
)
@json_option
@packed(RangeOptions)
def lr_range(options: RangeOptions) -> None:
    """Find a learning rate by a range test.

    Trains while the rate rises in every step, and shows at which rate the loss falls fastest, is
    the lowest, and runs away. Nothing is kept of the model.
    """
    from backprop_cli.config import load_config
    from backprop_cli.runs.beginning import of_config, refuse_lbfgs
    from backprop_cli.solvers.rate_range import rate_range

    if options.low >= options.high:
        raise click.UsageError("--from must be less than --to")
    if options.output is not None:
        from backprop_cli.reporting.report.write import check_matplotlib

        refuse_suffix(options.output, (".png",))
        check_matplotlib("lr-range --output")
    config = load_config(options.config_file, options.overrides)
    refuse_lbfgs(config, "lr-range")
    descent = of_config(config)
    found = rate_range(descent, options.low, options.high, options.steps)
    if options.output is not None:
        from backprop_cli.reporting.report.rates import write_rates

        write_rates(pathlib.Path(options.output), found)
    if options.as_json:
        show(to_json(_mapping(found)))
        return
    show(_text(found))
    if options.output is not None:
        show(f"picture     {options.output}")


def _mapping(found: RateRange) -> dict[str, object]:
    return {
        "steepest": found.steepest,
        "lowest": found.lowest,
        "runs_away": found.runs_away,
        "rates": found.rates.tolist(),
        "losses": found.losses.tolist(),
        "smoothed": found.smoothed.tolist(),
    }


def _text(found: RateRange) -> str:
    """Return the curve as blocks, and what it suggests."""
    import numpy as np

    from backprop_cli.reporting.report.text import sparkline

    top = 2 * float(found.smoothed[0]) if len(found.smoothed) else 1.0
    curve = sparkline(np.minimum(found.smoothed, top).tolist(), min(columns() - 12, 80))
    away = "not in this range" if found.runs_away is None else f"{found.runs_away:.2g}"
    lines = [
        f"loss        {curve}",
        f"steepest    {found.steepest:.2g}",
        f"lowest      {found.lowest:.2g}",
        f"runs away   {away}",
        wrapped(
            f"Try --set training.learning_rate={found.steepest:.2g}: there the loss falls "
            "fastest. The schedule of kind cyclical moves the rate up and down between minimum "
            f"and training.learning_rate: for it, try {found.steepest / 10:.2g} and "
            f"{found.lowest:.2g}."
        ),
    ]
    return "\n".join(lines)
