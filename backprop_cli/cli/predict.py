"""``backprop predict``."""

from __future__ import annotations

import pathlib
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.messages import columns, has_width, print_notes
from backprop_cli.cli.options import json_option, packed
from backprop_cli.cli.output import show
from backprop_cli.cli.outputs import refuse_data, refuse_suffix
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.evaluation.predictions import PredictedBlock

_SHOWN = 3  # classes per example, in the table


@dataclass(frozen=True)
class PredictOptions:
    """The options of ``backprop predict``."""

    run: str
    inputs: tuple[str, ...]
    top: int | None
    output: str | None
    as_json: bool


@click.command()
@click.argument("run", type=click.Path())
@click.option(
    "--input",
    "inputs",
    metavar="FILE",
    required=True,
    multiple=True,
    type=click.Path(),
    help="PNG, JPEG, .npy, .npz, or a data file of the run's format; repeatable.",
)
@click.option(
    "--top", metavar="K", type=click.IntRange(1), help="Only the K most probable classes."
)
@click.option("--output", metavar="FILE", type=click.Path(), help="Write to a .csv or .npy.")
@json_option
@packed(PredictOptions)
def predict(options: PredictOptions) -> None:
    """Classify new examples with the model of RUN.

    Prints the most probable classes of each example; with --json one object per line, with all
    probabilities; with --output only how many examples there are.
    After backprop calibrate, probabilities are those at its temperature. An SVM that was not
    calibrated has scores in their place, which are no probabilities.
    """
    import numpy as np

    from backprop_cli.errors import printable
    from backprop_cli.evaluation.predictions import predicted_blocks
    from backprop_cli.formats.inputs import read_inputs
    from backprop_cli.losses import LOSSES
    from backprop_cli.runs.calibration import load_temperature
    from backprop_cli.runs.opened import unfinished_notes
    from backprop_cli.runs.run_directory import load_run, load_summary

    run, output, top = pathlib.Path(options.run), options.output, options.top
    if output is not None:
        refuse_suffix(output, (".csv",) if top else (".csv", ".npy"))
    config, model = load_run(options.run)
    print_notes(options.run, unfinished_notes(load_summary(run)))
    if output is not None:
        refuse_data(output, config.data, options.inputs)
    names, source = read_inputs(options.inputs, config.data, model)
    temperature = load_temperature(run)
    as_scores = temperature is None and not LOSSES[model.loss].smooth
    if as_scores and (output is not None or options.as_json):
        note = (
            f"scores of {model.loss} are not trained to be probabilities; backprop calibrate "
            f"{shlex.quote(options.run)} fits a temperature"
        )
        print_notes(options.run, [note])
    blocks = predicted_blocks(model, source, np.arange(len(source)), temperature or 1.0)
    top = None if top is None else min(top, model.n_classes)
    if output is not None:
        from backprop_cli.reporting.tables import write_predictions_csv, write_predictions_npy

        if output.endswith(".npy"):
            shape = (len(names), model.n_classes)
            write_predictions_npy(pathlib.Path(output), blocks, shape, model.weights.dtype)
        else:
            write_predictions_csv(pathlib.Path(output), names, blocks, model.class_names, top)
        show(f"{len(names)} predictions in {output}", err=options.as_json)
    elif options.as_json:
        _print_json(names, blocks, model.class_names, top)
    else:
        shown = [printable(name) for name in names]
        class_names = [printable(name) for name in model.class_names]
        k = top or min(_SHOWN, model.n_classes)
        _print_table(shown, blocks, class_names, k, as_scores=as_scores)


def _print_json(
    names: Sequence[str],
    blocks: Iterable[PredictedBlock],
    class_names: Sequence[str],
    top: int | None,
) -> None:
    for block in blocks:
        found, decisions = block.probabilities(), block.decisions()
        chosen = None if top is None else block.top(top)
        for i, name in enumerate(names[block.examples]):
            classes = range(len(class_names)) if chosen is None else chosen[i]
            line = {
                "example": name,
                "class": class_names[decisions[i]],
                "probability": float(found[i, decisions[i]]),
                "probabilities": {class_names[k]: float(found[i, k]) for k in classes},
            }
            show(to_json(line))


def _print_table(
    names: Sequence[str],
    blocks: Iterable[PredictedBlock],
    class_names: Sequence[str],
    top: int,
    *,
    as_scores: bool,
) -> None:
    first = max(map(len, [*names, "example"]))
    from backprop_cli.engine import class_scores

    second = max(map(len, class_names))
    for block in blocks:
        found = class_scores(block.scores.T).T if as_scores else 100 * block.probabilities()
        unit = "score" if as_scores else "%"
        for name, row, best in zip(names[block.examples], found, block.top(top), strict=True):
            cells = [f"{class_names[k]:<{second}} {row[k]:6.2f} {unit}" for k in best]
            line = f"{name:<{first}}  " + "   ".join(cells)
            if has_width(sys.stdout) and len(line) > columns():
                line = "\n".join([name, *(f"  {cell}" for cell in cells)])
            show(line)
