"""Messages that several commands print."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from backprop_cli.cli.output import show
from backprop_cli.errors import printable

if TYPE_CHECKING:
    from backprop_cli.evaluation.metrics import Evaluation
    from backprop_cli.runs.candidate import Candidate
    from backprop_cli.runs.result import Result
    from backprop_cli.runs.session import Interrupted


_NO_TERMINAL = (120, 24)  # where the output goes to a file
_READABLE = 100  # columns


def columns() -> int:
    """Return how many columns the terminal has; COLUMNS says otherwise."""
    return max(40, shutil.get_terminal_size(_NO_TERMINAL).columns)


def has_width(stream: TextIO | None) -> bool:
    """Whether lines of a stream are to fit: it is a terminal, or COLUMNS is set."""
    return "COLUMNS" in os.environ or (stream is not None and stream.isatty())


def width() -> int:
    """Return how many columns text has: those of the terminal, but not more than can be read."""
    return min(columns(), _READABLE)


def wrapped(text: str, indent: str = "") -> str:
    """Return a text in lines that fit into the terminal, and are not too long to read."""
    from backprop_cli.reporting.fitted import paragraph

    return "\n".join(paragraph(text, width(), indent, indent + "  " if indent else ""))


def titled(title: str, text: str) -> str:
    """Return a title, and a text in lines beside it that fit into the terminal."""
    from backprop_cli.reporting.fitted import titled as lines

    return "\n".join(lines(title, text, width()))


def print_notes(run: str, notes: Iterable[str]) -> None:
    """Print on stderr what one should know before trusting the figures of a run.

    In a file, a note is one line.
    """
    for note in notes:
        text = f"Note: {printable(run)}: {printable(note)}"
        show(wrapped(text) if has_width(sys.stderr) else text, err=True)


def print_how_to_resume(stop: Interrupted, command: str) -> None:
    """Print on stderr how far an interrupted command got, and how to resume it."""
    plural = "" if stop.passes == 1 else "es" if stop.unit == "pass" else "s"
    how = f"--resume --output {shell_word(stop.path)}"
    how = f"backprop {command} {how}" if command == "train" else f"the same command and {how}"
    show(f"Interrupted after {stop.passes} {stop.unit}{plural}. To go on: {how}", err=True)


def summary_text(result: Result) -> str:
    """Return the figures of a finished run."""
    from backprop_cli.runs.convergence import length_line

    lines = [
        _figures(name, evaluation)
        for name, evaluation in (("validation", result.validation), ("test", result.test))
        if evaluation is not None
    ]
    ending = result.ending
    lines.append(titled("training", ending.line()))
    lines.append(length_line(ending.unit, ending.kept_epoch, ending.epochs))
    if ending.shuffle is not None:
        lines.append(titled("shuffle", ending.shuffle.line()))
    lines.append(f"{'run':<12}{shown_path(result.path)}")
    lines += [titled("note", printable(remark)) for remark in ending.remarks]
    return "\n".join(lines)


def _figures(split: str, evaluation: Evaluation) -> str:
    return titled(
        split,
        f"accuracy {100 * evaluation.accuracy:.2f} %   loss {evaluation.loss:.4f}   "
        f"({evaluation.n_examples} examples)",
    )


def shown_path(path: pathlib.Path) -> str:
    """Return a path, relative to the working directory if it lies below it."""
    try:
        return printable(str(path.relative_to(pathlib.Path.cwd())))
    except ValueError:
        return printable(str(path))


def shell_word(path: pathlib.Path) -> str:
    """Return a path, shortened as `shown_path` does, as a word that a shell reads as that path."""
    with contextlib.suppress(ValueError):
        path = path.relative_to(pathlib.Path.cwd())
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    signs = (
        chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(text)
    )
    return f"$'{''.join(signs)}'"


def candidate_table(candidates: Sequence[Candidate], unit: str) -> str:
    """Return the table of some models of a sweep: their settings and validation figures.

    The last column has the epoch that would be kept, or how many steps L-BFGS has made.
    """
    from backprop_cli.reporting.fitted import aligned, table

    keys = list(candidates[0].settings)
    measures = next((list(c.validation_measures) for c in candidates if c.validation_measures), [])
    counted = any(c.best_epoch is not None for c in candidates)  # means over folds have none
    last = ["steps" if unit == "step" else unit] if counted else []
    rows = [[*keys, *measures, "validation", "loss", *last]]
    nothing = [""] * (len(measures) + 1 + len(last))
    for candidate in candidates:
        row = [_shown(candidate.settings[key]) for key in keys]
        if candidate.diverged:
            row += ["diverged", *nothing]
        elif candidate.validation_accuracy is None or candidate.validation_loss is None:
            row += ["no epoch", *nothing]
        else:
            own = [candidate.validation_measures[name] for name in measures]
            row += [
                *("" if value is None else f"{100 * value:.2f} %" for value in own),
                f"{100 * candidate.validation_accuracy:.2f} %",
                f"{candidate.validation_loss:.4f}",
                *([str(candidate.best_epoch or "")] if counted else []),
            ]
        rows.append(row)
    short = [[_last(cell) for cell in rows[0]], *rows[1:]]
    return "\n".join(aligned(rows, columns()) or aligned(short, columns()) or table(rows, width()))


def _last(key: str) -> str:
    """Return a key without its section."""
    return key.rpartition(".")[2]


def _shown(value: Any) -> str:
    return json.dumps(value).replace('"', "")
