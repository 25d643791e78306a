"""Writes the pictures and the page of a run, and the page that compares several."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Sequence

from backprop_cli.atomic import refuse_unwritable, write_atomically
from backprop_cli.errors import ConfigError
from backprop_cli.reporting.report.compare import comparison_page, sweep_section
from backprop_cli.reporting.report.page import pictures, run_page
from backprop_cli.reporting.report.view import RunView
from backprop_cli.runs.run_directory import make_inner_folder

PAGE, PICTURES = "report.html", "report"


def check_matplotlib(what: str) -> None:
    """Refuse to go on without matplotlib.

    Parameters
    ----------
    what
        The command or the option that needs it.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigError(
            f"{what} needs matplotlib, found none: install backprop-cli[plot], or use report --text"
        )


def write_report(folder: pathlib.Path, view: RunView) -> pathlib.Path:
    """Write the pictures and the page of a run into its folder; return the path of the page."""
    make_inner_folder(folder / PICTURES)
    refuse_unwritable(folder / PAGE)
    files, sections = pictures(view)
    sweep = sweep_section(view)
    page = run_page(view, [sweep, *sections] if sweep else sections)
    for name, content in files.items():
        write_atomically(folder / PICTURES / f"{name}.png", content)
    _write_page(folder / PAGE, page)
    return folder / PAGE


def write_comparison(path: pathlib.Path, views: Sequence[RunView]) -> None:
    """Write a page that compares several runs."""
    refuse_unwritable(path)
    _write_page(path, comparison_page(views))


def _write_page(path: pathlib.Path, page: str) -> None:
    write_atomically(path, page.encode("utf-8", "backslashreplace"))
