"""``backprop gradcheck``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.options import config_option, json_option, set_option

if TYPE_CHECKING:
    from backprop_cli.gradcheck import Comparison

_HEADER = (
    f"{'':2}{'parameter':<10}{'checked':>8}{'kinks':>7}{'largest error':>15}  "
    f"{'at':<14}{'engine':>24}{'other':>24}"
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
    """Compare the gradient of this config's cost, on its data, in float64, with other derivations.

    Exit status 1 if they disagree.
    """
    from backprop_cli.config import load_config
    from backprop_cli.datasets import epoch_order, load_dataset
    from backprop_cli.gradcheck import TOLERANCE, compare
    from backprop_cli.problem import make_problem

    config = load_config(config_file, overrides)
    dataset = load_dataset(config.data, "float64")
    order = epoch_order(dataset.train.rows, config.training.seed, 0)
    problem = make_problem(config, dataset, order[: examples or config.training.batch_size])
    if not as_json:
        click.echo(
            f"{config.loss}, l2 {config.l2:g}, {len(problem.rows)} examples of "
            f"{problem.W.shape[1]} features, {len(problem.Y)} classes, float64"
        )
    rows = []
    title = None
    for row in compare(problem, None if every else samples, config.training.seed):
        rows.append(row)
        if as_json:
            continue
        if title != (row.cost, row.derivation):
            title = (row.cost, row.derivation)
            cost = "L (data term)" if row.cost == "L" else "J (with l2)"
            click.echo(f"\n{cost}: batch engine against {row.derivation}\n{_HEADER}")
        click.echo(_line(row))
    agree = all(row.agrees for row in rows)
    if as_json:
        found = {"agrees": agree, "tolerance": TOLERANCE, "rows": [r.to_mapping() for r in rows]}
        click.echo(json.dumps(found))
    else:
        verdict = "agree" if agree else "DISAGREE"
        click.echo(f"\nThe gradients {verdict} (tolerance {TOLERANCE:g}).")
    context.exit(0 if agree else 1)


def _line(row: Comparison) -> str:
    at = "-" if row.worst is None else "[" + ", ".join(map(str, row.worst)) + "]"
    return (
        f"{'' if row.agrees else '!':2}{row.parameter:<10}{row.checked:>8}{row.apart:>7}"
        f"{row.relative_error:>15.2e}  {at:<14}{row.engine_value:>24.15e}{row.other_value:>24.15e}"
    )
