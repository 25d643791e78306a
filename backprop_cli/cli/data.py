"""``backprop data``: what is done with files of data."""

from __future__ import annotations

import click

from backprop_cli.cli.data_download import download, list_data
from backprop_cli.cli.data_info import info
from backprop_cli.cli.data_shuffle import shuffle


@click.group()
def data() -> None:
    """Prepare files of data."""


for command in (list_data, download, info, shuffle):
    data.add_command(command)
