"""``backprop gradcheck``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.options import config_option, json_option, packed, set_option
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.gradcheck import Checked, Comparison

_HEADER = (
    f"  {'':<5}{'derivation':<22}{'checked':>8}{'apart':>7}{'largest error':>15}  "
    f"{'at':<12}{'engine':>14}{'derivation':>15}"
)
_TITLES = {
    "L": "L, the data term",
    "J": "J = L + lambda sum W_ij^2",
    "step": "One step of descent: by how much W and b move",
}


@dataclass(frozen=True)
class GradcheckOptions:
    """The command's options."""

    config_file: str
    overrides: tuple[str, ...]
    samples: int
    every: bool
    examples: int | None
    as_json: bool


@click.command()
@config_option
@set_option
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Coordinates of each parameter, where a derivation pays for each of them.",
)
@click.option("--all", "every", is_flag=True, help="Every coordinate, by every derivation.")
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    help="Training examples in the mini-batch.  [default: the batch size]",
)
@json_option
@packed(GradcheckOptions)
def gradcheck(options: GradcheckOptions) -> None:
    """Check the gradient against other derivations. On the engine that this config trains with.

    The first mini-batch goes through that engine as in training, in its number type: the loss, its
    gradient, and one step of descent are compared. Then the same in float64 by NumPy.

    Exit status 1 if they disagree. Set apart are coordinates at which a derivation says nothing:
    differences across a kink of the SVM loss, a probability that underflows.
    """
    from dataclasses import replace

    from backprop_cli.config import load_config
    from backprop_cli.config.convert import settings_of, solver_of
    from backprop_cli.fitting import prepare
    from backprop_cli.formats import load_dataset
    from backprop_cli.gradcheck import Comparison, compare, reference

    config = load_config(options.config_file, options.overrides)
    settings, solver = settings_of([config]), solver_of([config])
    if options.examples is not None:
        solver = replace(solver, batch_size=options.examples)
    descent = prepare(load_dataset(config.data), settings, solver)
    if not options.as_json:
        click.echo(
            f"{config.loss}, l2 {config.l2:g}, {descent.dataset.n_features} features, "
            f"{descent.dataset.n_classes} classes"
        )
    samples = None if options.every else options.samples
    rows: list[Comparison] = []
    for k, part in enumerate((descent, reference(descent))):
        if part is None:
            continue
        cost = ""
        for found in compare(part, samples, config.training.seed):
            if isinstance(found, Comparison):
                rows.append(found)
            if options.as_json:
                continue
            if not isinstance(found, Comparison):
                click.echo(_about(found, trains=k == 0))
                continue
            if found.cost != cost:
                cost = found.cost
                click.echo(f"\n{_TITLES[cost]}\n{_HEADER}")
            click.echo(_line(found))
    wrong = [row for row in rows if not row.agrees]
    compared = any(row.checked for row in rows)
    if options.as_json:
        mapping = {
            "agrees": compared and not wrong,
            "engine": f"{descent.engine_name}, {settings.dtype}",
            "rows": [row.to_mapping() for row in rows],
        }
        click.echo(to_json(mapping))
    else:
        click.echo("\n" + (_verdict(wrong) if compared else "Nothing could be compared."))
    if wrong or not compared:
        raise click.exceptions.Exit(1)


def _about(checked: Checked, *, trains: bool) -> str:
    """Return the line above an engine's tables."""
    what = "what this config trains with" if trains else "the reference"
    line = f"\nEngine {checked.engine}: {what}, on {checked.n_examples} examples"
    if checked.left_out:
        line += f" ({checked.left_out} more are within rounding of a kink)"
    return line


def _line(row: Comparison) -> str:
    mark = " " if row.agrees else "!"
    return (
        f"{mark} {_name(row):<5}{row.derivation:<22}{row.checked:>8}{row.apart:>7}"
        f"{row.relative_error:>15.1e}  {_place(row):<12}"
        f"{row.engine_value:>14.6e}{row.other_value:>15.6e}"
    )


def _name(row: Comparison) -> str:
    """Return what is compared: a value, a gradient, or a parameter after a step."""
    return row.parameter if row.cost == "step" or row.parameter == "L" else f"d{row.parameter}"


def _place(row: Comparison) -> str:
    if row.worst is None or row.parameter == "L":
        return "-"
    return f"{row.parameter}[{', '.join(map(str, row.worst))}]"


def _verdict(wrong: list[Comparison]) -> str:
    if not wrong:
        return "The gradients agree."
    lines = ["The gradients DISAGREE:"]
    for row in wrong:
        of = "a step" if row.cost == "step" else row.cost
        lines.append(f"  {row.engine}: {_name(row)} of {of} by {row.derivation}, at {_place(row)}")
    return "\n".join(lines)
