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
    f"  {'':<9}{'compared with':<20}{'checked':>7}{'skipped':>9}{'rel. error':>12}  "
    f"{'at':<12}{'engine':>14}{'derivation':>15}"
)
_TITLES = {
    "L": "The data term L and its gradient",
    "J": "The cost J = L + lambda sum W_ij^2 and its gradient",
    "step": "One step of descent, at a rate that moves W by about its own size",
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
    help="Coordinates sampled per parameter, for derivations whose cost grows with them.",
)
@click.option("--all", "every", is_flag=True, help="Every coordinate, by every derivation.")
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    help="Take only the first N examples of the mini-batch.",
)
@json_option
@packed(GradcheckOptions)
def gradcheck(options: GradcheckOptions) -> None:
    """Check the gradient against other derivations.

    The first mini-batch goes through the engine that this config trains with, in its number type,
    at weights and biases at which every part of the cost has a say. The loss, its gradient, the
    decisions and one step of descent are compared; then the same by NumPy in float64.

    Exit status 1 if they disagree. Skipped are coordinates at which a derivation says nothing: a
    difference across a kink of the loss, or a probability that underflows.
    """
    from backprop_cli.config import load_config
    from backprop_cli.config.convert import descent_of, settings_of
    from backprop_cli.fitting import prepare
    from backprop_cli.formats import load_dataset
    from backprop_cli.gradcheck import Comparison, compare, move_to_generic_point, reference

    config = load_config(options.config_file, options.overrides)
    settings, solver = settings_of([config]), descent_of([config])
    descent = prepare(load_dataset(config.data), settings, solver)
    if not options.as_json:
        click.echo(
            f"{config.loss}, l2 {config.l2:g}, {descent.dataset.n_features} features, "
            f"{descent.dataset.n_classes} classes"
        )
    samples = None if options.every else options.samples
    rows: list[Comparison] = []
    idle: list[str] = []
    for part in filter(None, (descent, reference(descent))):
        first, cost = len(rows), ""
        move_to_generic_point(part, config.training.seed)
        for found in compare(part, samples, config.training.seed, options.examples):
            if isinstance(found, Comparison):
                rows.append(found)
            if options.as_json:
                continue
            if not isinstance(found, Comparison):
                click.echo(_about(found, trains=part is descent))
                continue
            if found.cost != cost:
                cost = found.cost
                click.echo(f"\n{_TITLES[cost]}\n{_HEADER}")
            click.echo(_line(found))
        if not any(row.checked for row in rows[first:]):
            idle.append(f"{part.engine_name}, {part.settings.dtype}")
    wrong = [row for row in rows if not row.agrees]
    if options.as_json:
        mapping = {
            "agrees": not idle and not wrong,
            "engine": f"{descent.engine_name}, {settings.dtype}",
            "rows": [row.to_mapping() for row in rows],
        }
        click.echo(to_json(mapping))
    else:
        click.echo("\n" + _verdict(wrong, idle))
    if wrong or idle:
        raise click.exceptions.Exit(1)


def _about(checked: Checked, *, trains: bool) -> str:
    """Return the line above an engine's tables."""
    what = "the engine of this config" if trains else "the reference"
    examples = "1 example" if checked.n_examples == 1 else f"{checked.n_examples} examples"
    line = f"\n{checked.engine}: {what}, on {examples}"
    if checked.left_out:
        line += f"; {checked.left_out} left out, within rounding of a kink of the loss"
    return (
        f"{line}\nAgreement: an error of at most {checked.tolerance:g}, relative to the larger of "
        f"both numbers\nand {checked.floor:g} of the largest of their kind."
    )


def _line(row: Comparison) -> str:
    mark = " " if row.agrees else "!"
    line = f"{mark} {_name(row):<9}{row.derivation:<20}{row.checked:>7}{row.apart:>9}"
    if not row.checked:
        return f"{line}{'-':>12}  {'-':<12}{'-':>14}{'-':>15}"
    return (
        f"{line}{row.relative_error:>12.1e}  {_place(row):<12}"
        f"{row.engine_value:>14.6e}{row.other_value:>15.6e}"
    )


def _name(row: Comparison) -> str:
    """Return what is compared: a value, a gradient, or what a step changes."""
    if row.parameter in ("W", "b") and row.cost != "step":
        return f"d{row.cost}/d{row.parameter}"
    return row.parameter


def _place(row: Comparison) -> str:
    if row.worst is None or row.parameter[0] in "LJ":
        return "-"
    if row.parameter == "decision":
        return f"example {row.worst[0]}"
    return f"{row.parameter}[{', '.join(map(str, row.worst))}]"


def _verdict(wrong: list[Comparison], idle: list[str]) -> str:
    """Return the last lines: which rows are wrong, and engines that nothing was compared with."""
    if not wrong and idle:
        names = " and ".join(idle)
        return f"Nothing could be compared with {names}: take another training.seed."
    if not wrong:
        return "The gradients agree."
    lines = ["The gradients DISAGREE:"]
    for row in wrong:
        name = f"the step of {row.parameter}" if row.cost == "step" else _name(row)
        place = "" if _place(row) == "-" else f", at {_place(row)}"
        lines.append(f"  {row.engine}: {name} and the {row.derivation}{place}")
    return "\n".join(lines)
