"""Options that several commands share, spelt once."""

from __future__ import annotations

import click

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
