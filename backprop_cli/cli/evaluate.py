"""``backprop eval``."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.messages import columns, print_notes
from backprop_cli.cli.options import data_set_option, json_option, packed, split_option
from backprop_cli.cli.output import show
from backprop_cli.cli.outputs import refuse_data, refuse_suffix
from backprop_cli.cli.processes import processes
from backprop_cli.errors import printable
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.evaluation.metrics import Evaluation

_MAX_COLUMNS = 20  # classes of a confusion matrix that is still readable in a terminal


@dataclass(frozen=True)
class EvalOptions:
    """The options of ``backprop eval``."""

    run: str
    split: str
    output: str | None
    verify: bool
    overrides: tuple[str, ...]
    as_json: bool


@click.command("eval")
@click.argument("run", type=click.Path())
@split_option
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="Write each example's row, label, decision and scores to a .csv or .npz.",
)
@click.option("--verify", is_flag=True, help="Only check that model and data are those of the run.")
@data_set_option
@json_option
@packed(EvalOptions)
def evaluate(options: EvalOptions) -> None:
    """Evaluate the model of RUN. Prints measures, figures of each class, confusion matrix.

    Measures come with 95 % confidence intervals. With --output also the scores of every example.

    On other data of the same shape: --set data.test=FILE.
    """
    from backprop_cli.atomic import refuse_unwritable
    from backprop_cli.cli.progress import reading_bar
    from backprop_cli.config import load_config
    from backprop_cli.evaluation.metrics import evaluate_model
    from backprop_cli.runs.opened import open_run
    from backprop_cli.runs.run_directory import run_config_file

    run, split, output = options.run, options.split, options.output
    if output is not None and options.verify:
        raise click.UsageError("--output is for an evaluation; --verify makes none")
    if output is not None:
        refuse_suffix(output, (".csv", ".npz"))
        refuse_data(output, load_config(run_config_file(run)).data)
    with reading_bar() as tell:
        opened = open_run(run, options.overrides, tell)
    if output is not None:
        refuse_data(output, opened.config.data)
        if not processes.waits:
            refuse_unwritable(pathlib.Path(output))
    if options.verify:
        _print_verified(run, opened.verify(), options.as_json)
        return
    examples = opened.split(split)
    print_notes(run, opened.notes())
    result = evaluate_model(opened.model, examples, processes.communicator)
    if output is not None and not processes.waits:
        from backprop_cli.reporting.tables import write_scores_csv, write_scores_npz

        write = write_scores_csv if output.endswith(".csv") else write_scores_npz
        write(pathlib.Path(output), opened.model, examples)
    if options.as_json:
        show(to_json({"run": run, "split": split, **result.to_mapping()}))
    else:
        show(_text(split, result))
    if output is not None:
        show(f"{len(examples)} examples in {output}", err=options.as_json)


def _print_verified(run: str, unchanged: Mapping[str, bool], as_json: bool) -> None:
    """Print whether model file and data are those of the run; exit 1 if one of them is not."""
    if as_json:
        show(to_json({"run": run, **unchanged}))
    else:
        for what, good in unchanged.items():
            show(f"{what:<8}{'as the run left it' if good else 'CHANGED since the run'}")
    if not all(unchanged.values()):
        raise click.exceptions.Exit(1)


def _text(split: str, result: Evaluation) -> str:
    from backprop_cli.evaluation.wording import measure_lines
    from backprop_cli.reporting.fitted import confusion_matrix, table

    names = tuple(map(printable, result.class_names))
    lines = [
        f"{split}: {result.n_examples} examples",
        *measure_lines(result),
        f"{'loss':<19}{result.loss:.4f}",
        "(in brackets: 95 % confidence intervals)",
        "",
    ]
    rows = [("class", "precision", "recall", "examples")]
    for name, row in zip(names, result.classes, strict=True):
        rows.append((name, _percent(row.precision), _percent(row.recall), str(row.examples)))
    lines += [*table(rows, columns(), (0,)), ""]
    if len(names) <= _MAX_COLUMNS:
        lines += confusion_matrix(result.counts, names, columns())
    else:
        lines.append("(the confusion matrix is in --json)")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
