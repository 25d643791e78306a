"""``backprop data info``."""

from __future__ import annotations

import pathlib

import click

from backprop_cli.cli.messages import columns
from backprop_cli.cli.options import config_option, html_option, json_option, set_option
from backprop_cli.cli.output import show
from backprop_cli.cli.outputs import refuse_data
from backprop_cli.jsontext import to_json


@click.command("info")
@config_option
@set_option
@html_option("Also write a page, with a picture of each class.")
@json_option
def info(
    config_file: str, overrides: tuple[str, ...], html_file: str | None, as_json: bool
) -> None:
    """Describe the data of a config: sizes, classes, types, ranges, a few examples."""
    from backprop_cli.atomic import write_atomically
    from backprop_cli.config import load_config
    from backprop_cli.formats import load_dataset
    from backprop_cli.reporting.data_view import describe, to_html, to_text

    config = load_config(config_file, overrides)
    if html_file is not None:
        refuse_data(html_file, config.data, (config_file,))
    view = describe(load_dataset(config.data))
    show(to_json(view.to_mapping()) if as_json else to_text(view, columns()))
    if html_file is not None:
        write_atomically(pathlib.Path(html_file), to_html(view).encode("utf-8", "replace"))
        show(f"page        {html_file}", err=as_json)
