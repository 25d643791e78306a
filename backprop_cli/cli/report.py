"""``backprop report``."""

from __future__ import annotations

import pathlib

import click

from backprop_cli.cli.messages import columns, print_notes
from backprop_cli.cli.options import a_page, data_set_option, split_option
from backprop_cli.cli.output import show, show_picture
from backprop_cli.errors import OutputError


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path())
@click.option("--text", "as_text", is_flag=True, help="Print to the terminal.")
@click.option(
    "--templates",
    is_flag=True,
    help="With --text: draw the weights of each class, in half blocks and colours.",
)
@split_option
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(),
    callback=a_page,
    help="The page that compares several runs; required for them.",
)
@data_set_option
def report(
    runs: tuple[str, ...],
    as_text: bool,
    templates: bool,
    split: str,
    output: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Show a run: pictures and a page, report.html, in its folder. Several: a page that compares.

    Needs matplotlib (the extra: plot), except for --text.
    """
    from backprop_cli.cli.progress import reading_bar
    from backprop_cli.reporting.report.load import run_view
    from backprop_cli.runs.opened import open_run

    one = len(runs) == 1
    if templates and not as_text:
        raise click.UsageError("--templates is for --text")
    if output is not None and (as_text or one):
        raise click.UsageError("--output is for the page of several runs")
    if output is None and not (as_text or one):
        raise OutputError("report of several runs needs --output FILE.html")
    if not as_text:
        from backprop_cli.reporting.report.write import (
            check_matplotlib,
            write_comparison,
            write_report,
        )

        check_matplotlib("report")
    views = []
    for run in runs:
        with reading_bar() as tell:
            opened = open_run(run, overrides, tell)
        print_notes(run, opened.notes())
        views.append(run_view(opened, split))
    if as_text:
        from backprop_cli.reporting.report.text import to_text

        show("\n\n".join(to_text(view, columns()) for view in views))
        if templates:
            from backprop_cli.reporting.report.templates import to_blocks

            for view in views:
                show_picture("\n" + to_blocks(view, columns()))
    elif output is None:
        show(write_report(pathlib.Path(runs[0]), views[0]))
    else:
        write_comparison(pathlib.Path(output), views)
        show(output)
