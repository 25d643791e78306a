"""The one place that prints. Names in files are a stranger's: no sign of them steers a terminal."""

from __future__ import annotations

import contextlib

import click

from backprop_cli.errors import printable


def show(text: object = "", *, err: bool = False) -> None:
    """Print lines, on stdout or else on stderr, with control characters escaped.

    Line breaks are kept. Where a line holds a name, `printable` has escaped those in it.

    Raises
    ------
    OSError
        Stdout cannot be written. If stderr cannot, there is nobody to tell.
    """
    escaped = "\n".join(map(printable, str(text).split("\n")))
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        _print(escaped, err)


def show_picture(text: str) -> None:
    """Print a picture in the terminal's colours; whoever made it has escaped the names in it."""
    _print(text, False, colors=True)


def _print(text: str, err: bool, *, colors: bool | None = None) -> None:
    click.echo(text, err=err, color=colors)
