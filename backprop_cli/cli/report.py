"""``backprop report``."""

from __future__ import annotations

import importlib.util
import json
import pathlib
from typing import TYPE_CHECKING, Any

import click

from backprop_cli.cli.evaluate import check_overrides
from backprop_cli.cli.notes import note_other_data, note_unfinished
from backprop_cli.cli.options import a_page, data_set_option, split_option

if TYPE_CHECKING:
    from backprop_cli.reporting.report.view import RunView

PAGE, PICTURES = "report.html", "report"


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path())
@click.option("--text", "as_text", is_flag=True, help="In the terminal, in 80 columns.")
@split_option
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(),
    callback=a_page,
    help="The page that compares several runs; comparison.html if not given.",
)
@data_set_option
def report(
    runs: tuple[str, ...], as_text: bool, split: str, output: str | None, overrides: tuple[str, ...]
) -> None:
    """Show a run: pictures and a page, report.html, in its folder. Several: a page that compares.

    Needs matplotlib (the extra: plot), but for --text.
    """
    if output is not None and (as_text or len(runs) == 1):
        raise click.UsageError("--output is for the page of several runs")
    if as_text:
        from backprop_cli.reporting.report.text import to_text

        click.echo("\n\n".join(to_text(run_view(run, split, overrides)) for run in runs))
        return
    refuse_without_matplotlib("report")
    if len(runs) == 1:
        click.echo(write_report(runs[0], split, overrides))
        return
    from backprop_cli.atomic import write_atomically
    from backprop_cli.reporting.report.compare import comparison_page

    path = pathlib.Path("comparison.html" if output is None else output)
    page = comparison_page([run_view(run, split, overrides) for run in runs])
    write_atomically(path, page.encode("utf-8", "backslashreplace"))
    click.echo(path)


def refuse_without_matplotlib(command: str) -> None:
    """Refuse to go on if there is nothing to draw with."""
    from backprop_cli.errors import ConfigError

    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            f"{command} needs matplotlib, found none: install backprop-cli[plot], or use "
            "report --text"
        )


def write_report(run: str, split: str, overrides: tuple[str, ...] = ()) -> str:
    """Write a run's pictures and its page; return the page's path."""
    from backprop_cli.atomic import write_atomically
    from backprop_cli.reporting.report.compare import sweep_section
    from backprop_cli.reporting.report.page import pictures, run_page
    from backprop_cli.runs.run_directory import make_folder

    view = run_view(run, split, overrides)
    folder = pathlib.Path(run)
    files, sections = pictures(view)
    sweep = sweep_section(view)
    page = run_page(view, [sweep, *sections] if sweep else sections)
    make_folder(folder / PICTURES)
    for name, content in files.items():
        write_atomically(folder / PICTURES / f"{name}.png", content)
    write_atomically(folder / PAGE, page.encode("utf-8", "backslashreplace"))
    return str(folder / PAGE)


def run_view(run: str, split: str, overrides: tuple[str, ...] = ()) -> RunView:
    """Return what there is to show of a run; of its examples, those of ``split``."""
    from backprop_cli.config import config_text
    from backprop_cli.errors import ModelFileError
    from backprop_cli.formats import load_dataset
    from backprop_cli.reporting.report.view import Predictions, RunView
    from backprop_cli.runs.calibration import load_temperature
    from backprop_cli.runs.run_directory import (
        SWEEP_TABLE,
        load_history,
        load_run,
        load_summary,
    )

    check_overrides(overrides, "report")
    config, model = load_run(run, overrides)
    path = pathlib.Path(run)
    dataset = load_dataset(config.data, model.weights.dtype, model.class_names)
    note_unfinished(run)
    if not overrides:
        note_other_data(run, config, dataset)
    parts = {name: dataset.split(name) for name in ("validation", "test", split)}
    evaluations = {
        name: model.evaluate(part, name).to_mapping()
        for name, part in parts.items()
        if part is not None
    }
    shown = split if split in evaluations else next(iter(evaluations), None)
    temperature, predictions = load_temperature(path), None
    if shown is not None:
        part = dataset.split(shown)
        if part is None:
            raise ModelFileError(f"{run}: no {shown} examples")
        P, decisions = model.predict(part.features, part.rows, temperature or 1.0)
        labels = part.own_labels()
        predictions = Predictions(shown, P, labels, decisions, part.features, part.rows)
    history = load_history(path)
    summary = load_summary(path) or {}
    return RunView(
        name=path.name or str(path),
        config=config.to_mapping(),
        config_text=config_text(config),
        history=history,
        kept_epoch=_kept_epoch(summary, history, config.to_mapping()),
        evaluations=evaluations,
        class_names=model.class_names,
        image_shape=model.image_shape,
        weights=model.weights,
        predictions=predictions,
        temperature=temperature,
        sweep=_table(path / SWEEP_TABLE),
    )


def _kept_epoch(
    summary: dict[str, Any], history: list[dict[str, Any]], config: dict[str, Any]
) -> int:
    found = summary.get("kept_epoch")
    if type(found) is int and 0 <= found <= len(history):
        return found
    return _best_epoch(history, config)


def _best_epoch(history: list[dict[str, Any]], config: dict[str, Any]) -> int:
    """Return the epoch that a run without a summary keeps until now."""
    if not history:
        return 0
    key = f"validation_{config['training']['select_by']}"
    figures: list[float] = [line[key] for line in history if line[key] is not None]
    if config["training"]["keep"] == "last" or len(figures) < len(history):
        return int(history[-1]["epoch"])
    best = max(figures) if key.endswith("accuracy") else min(figures)
    return int(history[figures.index(best)]["epoch"])


def _table(path: pathlib.Path) -> list[dict[str, Any]] | None:
    from backprop_cli.errors import ModelFileError

    try:
        content = json.loads(path.read_text("utf-8"))
        rows = [
            {key: row[key] for key in ("settings", "validation_accuracy", "diverged")}
            for row in content
        ]
        if any(dict(row["settings"]).keys() != rows[0]["settings"].keys() for row in rows):
            raise ValueError("models of different keys")
        if not all(type(row["validation_accuracy"]) in (float, type(None)) for row in rows):
            raise ValueError("an accuracy that is no number")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"{path}: not the table of a sweep: {error}") from error
    return rows
