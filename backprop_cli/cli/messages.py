"""Messages that several commands print."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from backprop_cli.errors import printable

if TYPE_CHECKING:
    from backprop_cli.evaluation.metrics import Evaluation
    from backprop_cli.runs.result import Result
    from backprop_cli.runs.session import Interrupted


def print_notes(run: str, notes: Iterable[str]) -> None:
    """Print on stderr what one should know before trusting the figures of a run."""
    for note in notes:
        click.echo(f"Note: {printable(run)}: {note}", err=True)


def print_how_to_resume(stop: Interrupted, command: str) -> None:
    """Print on stderr how far an interrupted command got, and how to resume it."""
    epochs = "1 epoch" if stop.epochs == 1 else f"{stop.epochs} epochs"
    how = f"--resume --output {shlex.quote(shown_path(stop.path))}"
    how = f"backprop {command} {how}" if command == "train" else f"the same command and {how}"
    click.echo(f"Interrupted after {epochs}. To go on: {how}", err=True)


def summary_text(result: Result) -> str:
    """Return the figures of a finished run."""
    lines = [
        _figures(name, evaluation)
        for name, evaluation in (("validation", result.validation), ("test", result.test))
        if evaluation is not None
    ]
    ending = result.ending
    lines.append(f"{'training':<12}{ending.line()}")
    lines.append(f"{'epoch':<12}{ending.kept_epoch} kept of {ending.epochs}")
    lines.append(f"{'run':<12}{shown_path(result.path)}")
    lines += [f"{'note':<12}{remark}" for remark in ending.remarks]
    return "\n".join(lines)


def _figures(split: str, evaluation: Evaluation) -> str:
    return (
        f"{split:<12}accuracy {100 * evaluation.accuracy:.2f} %   loss {evaluation.loss:.4f}   "
        f"({evaluation.n_examples} examples)"
    )


def shown_path(path: pathlib.Path) -> str:
    """Return a path, relative to the working directory if it lies below it."""
    try:
        return str(path.relative_to(pathlib.Path.cwd()))
    except ValueError:
        return str(path)
