"""Options that several commands share, spelt once."""

from __future__ import annotations

import pathlib

import click

from backprop_cli.errors import OutputError


def a_page(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse a page's file of another suffix: it may be one that something else was written to."""
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
    help="Which examples are shown.",
)
data_set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Files of other data, as in data.path=FOLDER where it was moved; repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
