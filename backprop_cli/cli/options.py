"""Options that several commands share, and commands that take their options as one object."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import click
from click.core import ParameterSource

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


def refuse_given(names: Collection[str], why: str) -> None:
    """Refuse options that were given and would have no effect.

    Parameters
    ----------
    names
        The names of the command's parameters.
    why
        What follows the option in the message.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in names and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def html_option(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option --html FILE, for a page that a command writes besides."""
    return click.option(
        "--html", "html_file", metavar="FILE", type=click.Path(), callback=a_page, help=help_text
    )


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
