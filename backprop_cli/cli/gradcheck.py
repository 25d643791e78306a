"""``backprop gradcheck``."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.comparisons import TITLES, Table, about, verdict
from backprop_cli.cli.messages import wrapped
from backprop_cli.cli.options import json_option, packed, refuse_given, set_option
from backprop_cli.cli.output import show
from backprop_cli.cli.start import config_or_run_option, prepared, run_argument
from backprop_cli.errors import OutputError
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.gradcheck import Comparison, OwnCheck, OwnGradient
    from backprop_cli.solvers.descent import Descent


_CHECKS = (
    "run", "config_file", "overrides", "against", "samples", "every", "examples", "as_json",
)  # fmt: skip


@dataclass(frozen=True)
class GradcheckOptions:
    """The command's options."""

    run: str | None
    config_file: str | None
    overrides: tuple[str, ...]
    against: str | None
    template: str | None
    samples: int
    every: bool
    examples: int | None
    as_json: bool


@click.command()
@run_argument
@config_or_run_option
@set_option
@click.option(
    "--against",
    metavar="FILE.py:FUNCTION",
    help="Check a gradient of your own instead of the engine's. The file is executed.",
)
@click.option(
    "--template",
    metavar="FILE.py",
    type=click.Path(),
    help="Write a gradient to fill in, for --against, and stop.",
)
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
    help="Only the first N examples of the batch.",
)
@json_option
@packed(GradcheckOptions)
def gradcheck(options: GradcheckOptions) -> None:
    """Check the gradient against other derivations.

    The first mini-batch goes through the engine that this config trains with, in its number type,
    at weights and biases at which every part of the cost has a say, or at those of RUN. The loss,
    its gradient, the decisions and one step of descent are compared; then the same by NumPy in
    float64.

    With --against, a function of yours is checked: gradient(X, Y, W, b, lam) returns dW and db.

    Exit status 1 if they disagree. Skipped are coordinates at which a derivation says nothing: a
    difference across a kink of the loss, or a probability that underflows.
    """
    if options.template is not None:
        refuse_given(_CHECKS, "has no effect with --template, which writes a file and stops")
        _write_template(pathlib.Path(options.template))
        return
    if options.every:
        refuse_given(["samples"], "has no effect with --all, which checks every coordinate")
    from backprop_cli.gradcheck import OwnGradient, move_to_generic_point

    own = None if options.against is None else OwnGradient(options.against)
    config, descent = prepared(options.run, options.config_file, options.overrides)
    if not options.as_json:
        heading = (
            f"{config.loss}, l2 {config.l2:g}, {descent.dataset.n_features} features, "
            f"{descent.dataset.n_classes} classes"
        )
        show(wrapped(heading + (f", at the weights of {options.run}" if options.run else "")))
    if options.run is None:
        move_to_generic_point(descent, config.training.seed)
    seed = config.training.seed
    if own is not None:
        fine = _check_own(own, descent, options, seed)
    else:
        fine = _check_engines(descent, options, seed)
    if not fine:
        raise click.exceptions.Exit(1)


def _write_template(path: pathlib.Path) -> None:
    from backprop_cli.atomic import write_atomically
    from backprop_cli.gradcheck import TEMPLATE

    if path.exists():
        raise OutputError(f"{path}: is there already; choose another name")
    write_atomically(path, TEMPLATE.replace("FILE.py", path.name).encode())
    show(f"Fill in {path}, then: backprop gradcheck --config FILE --against {path}:gradient")


def _check_own(own: OwnGradient, descent: Descent, options: GradcheckOptions, seed: int) -> bool:
    from backprop_cli.gradcheck import compare_own

    samples = None if options.every else options.samples
    check = compare_own(own, descent, samples, seed, options.examples)
    show(to_json(check.to_mapping()) if options.as_json else _own_text(check))
    return check.agrees


def _own_text(check: OwnCheck) -> str:
    """Return the table of a gradient of the user's own, and what is wrong with it."""
    table = Table.fitting("yours")
    lines = [about(check.checked, "your gradient"), "", table.header()]
    lines += [table.line(row) for row in check.comparisons]
    lines.append("")
    if check.agrees:
        lines.append("Your gradient agrees.")
    else:
        lines.append("Your gradient DISAGREES:")
    for name, places in check.places.items():
        lines.append(wrapped(f"{name} is wrong in {' and '.join(places)}", "  "))
    lines += [wrapped(f"Hint: {hint}", "  ") for hint in check.hints]
    if not check.agrees and not check.hints:
        lines.append(wrapped("No typical mistake gives these numbers.", "  "))
    lines += [wrapped(f"Note: {note}", "  ") for note in check.notes]
    if {row.cost for row in check.comparisons} == {"L"}:
        lines.append(wrapped("l2 is 0, so the penalty is not checked: try --set l2=0.1"))
    return "\n".join(lines)


def _check_engines(descent: Descent, options: GradcheckOptions, seed: int) -> bool:
    """Compare the engine of the config, then the reference; return whether all agree."""
    from backprop_cli.gradcheck import Checked, EngineCheck, compare_engines

    samples = None if options.every else options.samples
    table = Table.fitting()
    found: list[Checked | Comparison] = []
    cost = ""
    for one in compare_engines(descent, samples, seed, options.examples):
        what = "the reference" if found else "the engine of this config"
        found.append(one)
        if options.as_json:
            continue
        if isinstance(one, Checked):
            cost = ""
            show(about(one, what))
            continue
        if one.cost != cost:
            cost = one.cost
            show(f"\n{wrapped(TITLES[cost])}\n{table.header()}")
        show(table.line(one))
    check = EngineCheck.of(found)
    show(
        to_json(check.to_mapping()) if options.as_json else "\n" + verdict(check.wrong, check.idle)
    )
    return check.agrees
