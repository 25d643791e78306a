"""``backprop predict``."""

from __future__ import annotations

import contextlib
import csv
import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.messages import print_notes
from backprop_cli.cli.options import json_option
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHOWN = 3  # classes per example, in the table


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
@click.option("--output", metavar="FILE", type=click.Path(), help="Write to a .csv or .npy.")
@json_option
def predict(run: str, inputs: tuple[str, ...], output: str | None, as_json: bool) -> None:
    """Classify new examples with the model of RUN.

    Prints the most probable classes of each example; with --json one object per line, with all
    probabilities; with --output only how many examples there are.
    After backprop calibrate, probabilities are those at its temperature.
    """
    import numpy as np

    from backprop_cli.atomic import write_atomically
    from backprop_cli.errors import OutputError, printable
    from backprop_cli.formats.inputs import read_inputs
    from backprop_cli.runs.calibration import load_temperature
    from backprop_cli.runs.opened import unfinished_notes
    from backprop_cli.runs.run_directory import load_run, load_summary

    if output is not None and pathlib.Path(output).suffix not in (".csv", ".npy"):
        raise OutputError(f"{output}: expected a name that ends in .csv or .npy")
    config, model = load_run(run)
    print_notes(run, unfinished_notes(load_summary(pathlib.Path(run))))
    if output is not None:
        own = [getattr(config.data, key) for key in config.data.file_keys()]
        _refuse_input(pathlib.Path(output), [*inputs, *(v for v in own if isinstance(v, str))])
    names, source = read_inputs(inputs, config.data, model)
    temperature = load_temperature(pathlib.Path(run)) or 1.0
    rows = np.arange(len(source))
    probabilities, decisions = model.predict(source, rows, temperature)
    if output is not None:
        content = (
            _npy(probabilities)
            if output.endswith(".npy")
            else _csv(names, probabilities, decisions, model.class_names)
        )
        write_atomically(pathlib.Path(output), content)
        click.echo(f"{len(names)} predictions in {output}", err=as_json)
    elif as_json:
        for name, row, decision in zip(names, probabilities, decisions, strict=True):
            line = {
                "example": name,
                "class": model.class_names[decision],
                "probability": float(row[decision]),
                "probabilities": dict(zip(model.class_names, row.tolist(), strict=True)),
            }
            click.echo(to_json(line))
    else:
        shown = [printable(name) for name in names]
        _print_table(shown, probabilities, [printable(name) for name in model.class_names])


def _refuse_input(output: pathlib.Path, read: Sequence[str]) -> None:
    """Refuse to overwrite the examples to classify and the data the model was trained on."""
    from backprop_cli.errors import OutputError

    for text in read:
        same = False
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # no such file
            same = output.samefile(pathlib.Path(text).expanduser())
        if same:
            raise OutputError(f"{output}: holds data ({text}); choose another name")


def _print_table(
    names: Sequence[str],
    probabilities: NDArray[np.floating],
    class_names: Sequence[str],
) -> None:
    import numpy as np

    first = max(map(len, [*names, "example"]))
    second = max(map(len, class_names))
    for name, row in zip(names, probabilities, strict=True):
        best = np.argsort(-row, kind="stable")[:_SHOWN]
        cells = [f"{class_names[k]:<{second}} {100 * row[k]:6.2f} %" for k in best]
        click.echo(f"{name:<{first}}  " + "   ".join(cells))


def _csv(
    names: Sequence[str],
    probabilities: NDArray[np.floating],
    decisions: NDArray[np.intp],
    class_names: Sequence[str],
) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["example", "class", *class_names])
    for name, row, decision in zip(names, probabilities, decisions, strict=True):
        writer.writerow([name, class_names[decision], *row.tolist()])
    return stream.getvalue().encode("utf-8", "backslashreplace")


def _npy(probabilities: NDArray[np.floating]) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.save(stream, probabilities)
    return stream.getvalue()
