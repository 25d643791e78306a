"""Options that several commands share, and commands that take their options as one object."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import click

from backprop_cli.errors import OutputError

T = TypeVar("T")


def packed(options: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Let a command take its options as one object.

    Parameters
    ----------
    options
        A dataclass with a field for each parameter of the command, of the same name.
    """

    def decorate(command: Callable[[T], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def callback(**values: Any) -> None:
            command(options(**values))

        return callback

    return decorate


def a_page(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse a page whose name does not end in .html: it may be a file of something else."""
    if value is not None and pathlib.Path(value).suffix != ".html":
        raise OutputError(f"{option.opts[0]} {value}: expected a name that ends in .html")
    return value


config_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    required=True,
    type=click.Path(),
    help="The YAML config.",
)
set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override a key of the config, as in training.epochs=10; repeatable.",
)
split_option = click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="The split whose examples are used.",
)
data_set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Use other files of data, as in data.path=FOLDER if it was moved; repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
