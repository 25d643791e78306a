"""``backprop data list`` and ``backprop data download``."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from typing import Any

import click

from backprop_cli.cli.messages import columns, shown_path
from backprop_cli.cli.options import json_option
from backprop_cli.cli.output import show
from backprop_cli.jsontext import to_json


@click.command("list")
@json_option
def list_data(as_json: bool) -> None:
    """List the data sets that can be downloaded, and which of them are here."""
    from backprop_cli.cache import data_folder
    from backprop_cli.downloads import DATA_SETS, is_complete
    from backprop_cli.reporting.fitted import titled

    folder = data_folder()
    here = {name: is_complete(own, folder / name) for name, own in DATA_SETS.items()}
    if as_json:
        sets = {
            name: {
                "title": own.title, "page": own.page, "bytes": own.size, "here": here[name],
                "config": own.config(folder / name),
            }
            for name, own in DATA_SETS.items()
        }  # fmt: skip
        show(to_json({"folder": str(folder), "data_sets": sets}))
        return
    for name, own in DATA_SETS.items():
        size = f"{own.size / 1e6:.0f} MB"
        head = f"{name:<15}{size:>7}  {'here' if here[name] else '-':<5} "
        show("\n".join(titled(head, own.title, columns(), len(head))))
    show(f"\nfolder: {folder}")


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(),
    help="Put each data set into a folder of its name in DIR, not in the cache.",
)
@click.option(
    "--mirror",
    "mirrors",
    metavar="URL",
    multiple=True,
    help="A folder on the web that holds the files, tried first; repeatable.",
)
@json_option
def download(
    names: tuple[str, ...], output: str | None, mirrors: tuple[str, ...], as_json: bool
) -> None:
    """Download data sets: cifar10, cifar100, mnist, fashion-mnist, kmnist.

    Files are checked by SHA-256. What is here already is kept, and a download that was cut off
    goes on where it ended. Prints the section data of a config. Needs pooch (the extra: download).

    Data sets go to the folder that BACKPROP_DATA names, by default backprop in the user's cache.
    """
    from backprop_cli.cache import data_folder
    from backprop_cli.downloads import DATA_SETS
    from backprop_cli.downloads import download as fetch
    from backprop_cli.errors import ConfigError

    for name in names:
        if name not in DATA_SETS:
            raise ConfigError(f"{name}: no such data set; there are {', '.join(DATA_SETS)}")
    base = data_folder() if output is None else pathlib.Path(output).absolute()
    found = {}
    for name in dict.fromkeys(names):
        own = DATA_SETS[name]
        with contextlib.closing(_Bar()) as bar:
            fetch(own, base / name, mirrors, bar.show)
        found[name] = own.config(base / name)
        if not as_json:
            show(f"{name:<15}{shown_path(own.path(base / name))}")
            show(f"\ndata: {to_json(found[name])}\n")
    if as_json:
        show(to_json(found))


class _Bar:
    """A progress bar for each file, on stderr if that is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._name = ""

    def show(self, name: str, done: int, size: int) -> None:
        """Show how much of a file is here."""
        if not sys.stderr.isatty():
            return
        from tqdm import tqdm

        if name != self._name:
            self.close()
            self._name = name
            self._bar = tqdm(total=size, desc=name, unit="B", unit_scale=True, leave=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """End the bar of the last file."""
        if self._bar is not None:
            self._bar.close()
