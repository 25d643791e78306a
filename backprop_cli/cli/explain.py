"""``backprop explain``."""

from __future__ import annotations

import pathlib

import click

from backprop_cli.cli.options import a_page, config_option, json_option, set_option
from backprop_cli.jsontext import to_json


@click.command()
@config_option
@set_option
@click.option(
    "--example",
    "index",
    metavar="I",
    type=int,
    default=0,
    show_default=True,
    help="Index of the training example, from 0.",
)
@json_option
@click.option(
    "--dot", "as_dot", is_flag=True, help="Print the graph in the DOT language of Graphviz."
)
@click.option(
    "--html",
    "html_file",
    metavar="FILE",
    type=click.Path(),
    callback=a_page,
    help="Also write a page that steps through both passes.",
)
def explain(
    config_file: str,
    overrides: tuple[str, ...],
    index: int,
    as_json: bool,
    as_dot: bool,
    html_file: str | None,
) -> None:
    """Explain one example's gradient.

    Shows both passes through its computational graph: values, Jacobians, gradients, the order of
    computation, and the cost of reverse mode and forward mode, in float64, at the weights that
    training starts from.
    """
    from backprop_cli.atomic import write_atomically
    from backprop_cli.config import load_config
    from backprop_cli.config.convert import settings_of
    from backprop_cli.formats import load_dataset
    from backprop_cli.reporting.explain import explain as describe
    from backprop_cli.reporting.explain import to_dot, to_html, to_text

    if as_json + as_dot + (html_file is not None) > 1:
        raise click.UsageError("choose one of --json, --dot and --html")
    config = load_config(config_file, overrides)
    explanation = describe(load_dataset(config.data), settings_of([config]), index)
    if as_json:
        click.echo(to_json(explanation.to_mapping()))
    elif as_dot:
        click.echo(to_dot(explanation))
    elif html_file is not None:
        write_atomically(pathlib.Path(html_file), to_html(explanation).encode("utf-8", "replace"))
        click.echo(f"{to_text(explanation)}\n\npage  {html_file}")
    else:
        click.echo(to_text(explanation))
