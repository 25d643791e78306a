"""``backprop gradcheck``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.options import config_option, json_option, set_option

if TYPE_CHECKING:
    from backprop_cli.gradcheck import Comparison

_HEADER = (
    f"  {'':<5}{'derivation':<22}{'checked':>8}{'apart':>7}{'largest error':>15}  "
    f"{'at':<12}{'engine':>14}{'derivation':>15}"
)


@click.command()
@config_option
@set_option
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Coordinates of each parameter.",
)
@click.option("--all", "every", is_flag=True, help="Every coordinate of each parameter.")
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    help="Training examples in the cost.  [default: the batch size]",
)
@json_option
@click.pass_context
def gradcheck(
    context: click.Context,
    config_file: str,
    overrides: tuple[str, ...],
    samples: int,
    every: bool,
    examples: int | None,
    as_json: bool,
) -> None:
    """Check the gradient against other derivations. On this config's data, in float64.

    Exit status 1 if they disagree. Set apart are coordinates at which a derivation
    says nothing: differences across a kink of the SVM loss, a probability that underflows.
    """
    from backprop_cli.config import load_config
    from backprop_cli.formats import load_dataset
    from backprop_cli.gradcheck import compare
    from backprop_cli.problem import make_problem
    from backprop_cli.sources import epoch_order

    config = load_config(config_file, overrides)
    dataset = load_dataset(config.data, "float64")
    order = epoch_order(dataset.train.rows, config.training.seed, 0)
    problem = make_problem(config, dataset, order[: examples or config.training.batch_size])
    if not as_json:
        click.echo(
            f"{config.loss}, l2 {config.l2:g}, {len(problem.rows)} examples of "
            f"{problem.W.shape[1]} features, {len(problem.Y)} classes, float64\n"
            "The batch engine's gradient against other derivations of it:"
        )
    rows: list[Comparison] = []
    for row in compare(problem, None if every else samples, config.training.seed):
        if not as_json:
            if not rows or rows[-1].cost != row.cost:
                click.echo(f"\n{_title(row.cost)}\n{_HEADER}")
            click.echo(_line(row))
        rows.append(row)
    wrong = [row for row in rows if not row.agrees]
    compared = any(row.checked for row in rows)
    if as_json:
        click.echo(
            json.dumps(
                {"agrees": compared and not wrong, "rows": [row.to_mapping() for row in rows]}
            )
        )
    else:
        click.echo("\n" + (_verdict(wrong) if compared else "Nothing could be compared."))
    context.exit(0 if compared and not wrong else 1)


def _title(cost: str) -> str:
    return "L, the data term" if cost == "L" else "J = L + lambda sum W_ij^2"


def _line(row: Comparison) -> str:
    mark = " " if row.agrees else "!"
    return (
        f"{mark} d{row.parameter:<4}{row.derivation:<22}{row.checked:>8}{row.apart:>7}"
        f"{row.relative_error:>15.1e}  {_place(row):<12}"
        f"{row.engine_value:>14.6e}{row.other_value:>15.6e}"
    )


def _place(row: Comparison) -> str:
    if row.worst is None:
        return "-"
    return f"{row.parameter}[{', '.join(map(str, row.worst))}]"


def _verdict(wrong: list[Comparison]) -> str:
    if not wrong:
        return "The gradients agree."
    return "\n".join(
        ["The gradients DISAGREE:"]
        + [f"  d{row.cost}/d{row.parameter} by {row.derivation}, at {_place(row)}" for row in wrong]
    )
