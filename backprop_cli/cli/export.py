"""``backprop export``."""

from __future__ import annotations

import pathlib

import click

from backprop_cli.cli.messages import print_notes, shown_path, titled
from backprop_cli.cli.options import json_option
from backprop_cli.cli.output import show
from backprop_cli.cli.outputs import refuse_data, refuse_suffix
from backprop_cli.jsontext import to_json


@click.command()
@click.argument("run", type=click.Path())
@click.option(
    "--to",
    required=True,
    type=click.Choice(["onnx", "torch", "sklearn", "numpy"]),
    help="The library.",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="The file. By default model.onnx, torch.safetensors, model.skops or model.npz in RUN.",
)
@json_option
def export(run: str, to: str, output: str | None, as_json: bool) -> None:
    """Write the model of RUN as a file of another library.

    onnx: Gemm and Softmax in float64 (the extra: onnx). torch: the state_dict of an nn.Linear, in
    safetensors. sklearn: a LogisticRegression, in a file of skops (the extra: sklearn). numpy:
    weights, bias and class names in an .npz.

    Standardization, and the temperature of backprop calibrate, are folded into the weights, so
    the model takes features as they are. Prints the lines of Python that load the file.
    """
    from backprop_cli.errors import OutputError
    from backprop_cli.exports import FORMATS, raw_classifier
    from backprop_cli.exports import export as write
    from backprop_cli.runs.calibration import load_temperature
    from backprop_cli.runs.model_file import FILE_NAME
    from backprop_cli.runs.opened import unfinished_notes
    from backprop_cli.runs.run_directory import load_run, load_summary

    folder = pathlib.Path(run)
    config, model = load_run(run)
    path = folder / FORMATS[to].file_name if output is None else pathlib.Path(output)
    refuse_suffix(str(path), (FORMATS[to].suffix,))
    refuse_data(str(path), config.data)
    if path.exists() and path.samefile(folder / FILE_NAME):
        raise OutputError(f"{path}: is the model of the run itself; choose another name")
    print_notes(run, unfinished_notes(load_summary(folder)))
    temperature = load_temperature(folder)
    classifier = raw_classifier(model, temperature or 1.0)
    usage = write(classifier, to, path)
    if as_json:
        about = {"run": run, "format": to, "file": str(path), "temperature": temperature}
        show(to_json({**about, "class_names": classifier.class_names, "usage": usage}))
        return
    show(f"{'written to':<12}{shown_path(path)}")
    show(titled("features", classifier.features))
    if temperature is not None:
        show(f"{'temperature':<12}{temperature:.4g}, of backprop calibrate")
    show(f"\n{usage}")
