"""``backprop eval``."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import TYPE_CHECKING

import click

from backprop_cli.cli.notes import note_other_data, note_unfinished
from backprop_cli.cli.options import json_option, set_option, split_option
from backprop_cli.errors import printable

if TYPE_CHECKING:
    from backprop_cli.config import Config
    from backprop_cli.evaluation.metrics import Evaluation
    from backprop_cli.sources import Dataset

_MOST_COLUMNS = 20  # classes for which a confusion matrix is still readable in a terminal


@click.command("eval")
@click.argument("run", type=click.Path())
@split_option
@click.option("--verify", is_flag=True, help="Only check that model and data are those of the run.")
@set_option
@json_option
def evaluate(run: str, split: str, verify: bool, overrides: tuple[str, ...], as_json: bool) -> None:
    """Evaluate the model of RUN. Prints accuracy, loss, precision and recall, confusion matrix.

    Other data of the same shape: --set data.test=FILE.
    """
    from backprop_cli.errors import DataError
    from backprop_cli.formats import load_dataset
    from backprop_cli.runs.run_directory import load_run

    check_overrides(overrides, "eval")
    config, model = load_run(run, overrides)
    dataset = load_dataset(config.data, model.weights.dtype, model.class_names)
    if verify:
        _verify(run, config, dataset, as_json)
        return
    examples = dataset.split(split)
    if examples is None:
        raise DataError(f"data.{split}: the config asks for no {split} examples")
    if dataset.image_shape != model.image_shape:
        raise DataError(
            f"{split}: expected images of {_size(model.image_shape)} as the model has, "
            f"found {_size(dataset.image_shape)}"
        )
    note_unfinished(run)
    if not overrides:
        note_other_data(run, config, dataset)
    result = model.evaluate(examples, split)
    if as_json:
        click.echo(json.dumps({"run": run, "split": split, **result.to_mapping()}))
    else:
        click.echo(_table(split, result))


def _verify(run: str, config: Config, dataset: Dataset, as_json: bool) -> None:
    """Print whether model file and data are those of the run; exit 1 if one is not."""
    from backprop_cli.errors import ModelFileError
    from backprop_cli.runs.run_directory import load_summary, model_digest
    from backprop_cli.sources import fingerprint

    path = pathlib.Path(run)
    summary = load_summary(path)
    if summary is None or config.recorded is None or "model_sha256" not in summary:
        raise ModelFileError(f"{run}: the run has not finished; there is nothing to verify it by")
    same = {
        "model": model_digest(path) == summary["model_sha256"],
        "data": fingerprint(dataset) == config.recorded.data,
    }
    if as_json:
        click.echo(json.dumps({"run": run, **same}))
    else:
        for what, good in same.items():
            click.echo(f"{what:<8}{'as the run left it' if good else 'CHANGED since the run'}")
    if not all(same.values()):
        raise click.exceptions.Exit(1)


_FILE_KEYS = ("path", "labels", "test", "test_labels", "validation", "validation_labels")


def check_overrides(overrides: tuple[str, ...], command: str) -> None:
    """Refuse what would change nothing, or would draw other examples than the run held out."""
    from backprop_cli.errors import ConfigError

    for override in overrides:
        key, _, value = override.partition("=")
        held_out = key.strip() in ("data.test", "data.validation") and _is_number(value)
        if key.strip() not in [f"data.{name}" for name in _FILE_KEYS] or held_out:
            raise ConfigError(
                f"--set {override}: {command} takes files of other data alone: "
                f"data.{', data.'.join(_FILE_KEYS)}"
            )
        if key.strip() == "data.labels" and value.strip() in ("fine", "coarse"):
            raise ConfigError(f"--set {override}: the model has the classes it was trained on")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _size(image_shape: tuple[int, int, int] | None) -> str:
    if image_shape is None:
        return "no image shape"
    channels, height, width = image_shape
    return f"{height} x {width} pixels, {channels} channels"


def _table(split: str, result: Evaluation) -> str:
    lines = [
        f"{split}: {result.n_examples} examples",
        f"accuracy  {100 * result.accuracy:.2f} %",
        f"loss      {result.loss:.4f}",
        "",
    ]
    result = dataclasses.replace(result, class_names=tuple(map(printable, result.class_names)))
    width = max(5, *(len(name) for name in result.class_names))
    lines.append(f"{'class':<{width}}  precision   recall  examples")
    counts = result.confusion.sum(axis=1)
    for name, precision, recall, count in zip(
        result.class_names, result.precision(), result.recall(), counts, strict=True
    ):
        lines.append(f"{name:<{width}}  {_percent(precision)}  {_percent(recall)}  {count:>8}")
    if len(result.class_names) <= _MOST_COLUMNS:
        lines += ["", *_confusion(result, width)]
    else:
        lines += ["", f"(the {len(result.class_names)} x {len(result.class_names)} confusion "
                  "matrix is in --json)"]  # fmt: skip
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "      - " if share is None else f"{100 * share:>6.2f} %"


def _confusion(result: Evaluation, width: int) -> list[str]:
    """Return the confusion matrix, a row a true class; columns are numbered as rows are."""
    cell = max(len(str(result.confusion.max())), 3) + 1
    n = len(result.class_names)
    lines = [
        "confusion matrix: a row a true class, a column a decision",
        " " * (width + 4) + "".join(f"{k:>{cell}}" for k in range(n)),
    ]
    for k, (name, row) in enumerate(zip(result.class_names, result.confusion, strict=True)):
        lines.append(f"{k:>3} {name:<{width}}" + "".join(f"{count:>{cell}}" for count in row))
    return lines
