"""``backprop explain``."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import click

from backprop_cli.cli.messages import columns
from backprop_cli.cli.options import html_option, json_option, packed, refuse_given, set_option
from backprop_cli.cli.output import show
from backprop_cli.cli.start import config_or_run_option, prepared, run_argument
from backprop_cli.jsontext import to_json

if TYPE_CHECKING:
    from backprop_cli.reporting.explain import Explanation
    from backprop_cli.solvers.descent import Descent


T = TypeVar("T")
_OF_TRAINING = ("overrides", "index", "examples", "step")
_OF_EXPRESSIONS = ("at", "seed")


@dataclass(frozen=True)
class ExplainOptions:
    """The command's options."""

    run: str | None
    config_file: str | None
    overrides: tuple[str, ...]
    expression: str | None
    at: tuple[str, ...]
    graph_file: str | None
    seed: int
    index: int
    examples: int | None
    step: int | None
    as_json: bool
    as_dot: bool
    html_file: str | None


@click.command()
@run_argument
@config_or_run_option
@set_option
@click.option(
    "--expression",
    metavar="TEXT",
    help="Explain a function instead, as in 'sin(x^2)' or 'softmax(W2 relu(W1 x + b1) + b2)'.",
)
@click.option(
    "--at",
    metavar="NAME=VALUE",
    multiple=True,
    help="A value for --expression: x=0.7, x=[1,2], or a shape, W=2x3, for random ones.",
)
@click.option(
    "--graph",
    "graph_file",
    metavar="FILE",
    type=click.Path(),
    help="Explain the graph of a JSON file: inputs, parameters, nodes.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of random values of --at."
)
@click.option(
    "--example",
    "index",
    metavar="I",
    type=int,
    default=0,
    show_default=True,
    help="Index of the training example, from 0.",
)
@click.option(
    "--examples",
    metavar="N",
    type=click.IntRange(1, 64),
    help="Explain N examples, from --example on, together: the matrices, and the loop.",
)
@click.option(
    "--step",
    metavar="K",
    type=click.IntRange(0),
    help="Explain at the weights after K updates of training.",
)
@json_option
@click.option(
    "--dot", "as_dot", is_flag=True, help="Print the graph in the DOT language of Graphviz."
)
@html_option("Also write a page that steps through both passes.")
@packed(ExplainOptions)
def explain(options: ExplainOptions) -> None:
    """Explain the gradient of one example, or of any function.

    Shows both passes through its computational graph: values, Jacobians, gradients, the order of
    computation, and the cost of reverse mode and forward mode, in float64: at the weights of RUN,
    or at those that training with a config starts from.

    An expression is made of names, numbers, + - * / ^ @, W^T, and the functions sin, cos, exp, log,
    tanh, relu, sigmoid, square, softmax, sum, dot, cross_entropy, multiclass_svm, sum_of_squares.
    It has at most 2000 characters.
    """
    if options.as_json + options.as_dot + (options.html_file is not None) > 1:
        raise click.UsageError("choose one of --json, --dot and --html")
    given = [options.run, options.config_file, options.expression, options.graph_file]
    if sum(one is not None for one in given) != 1:
        raise click.UsageError("expected one of RUN, --config, --expression and --graph")
    if options.expression is None:
        refuse_given(_OF_EXPRESSIONS, "is for --expression")
    if options.expression is not None or options.graph_file is not None:
        refuse_given(_OF_TRAINING, "is for a config or a RUN")
    if options.examples is not None:
        refuse_given(["as_dot"], "is for a single example, not for --examples")
        _show_batch(options, options.examples)
    else:
        _show(options)


def _show(options: ExplainOptions) -> None:
    from backprop_cli.reporting.explain import to_dot, to_html, to_mapping, to_text

    explanation = _explanation(options)
    if options.as_json:
        show(to_json(to_mapping(explanation)))
    elif options.as_dot:
        show(to_dot(explanation))
    else:
        page = _page(options.html_file, explanation, to_html)
        show(to_text(explanation, columns()) + page)


def _show_batch(options: ExplainOptions, n: int) -> None:
    from backprop_cli.reporting.explain import batch_to_html, batch_to_text, explain_batch

    descent, where = _training(options)
    batch = explain_batch(descent, options.index, n, where)
    if options.as_json:
        show(to_json(batch.to_mapping()))
    else:
        page = _page(options.html_file, batch, batch_to_html)
        show(batch_to_text(batch, min(columns(), 100)) + page)


def _page(file: str | None, explanation: T, to_html: Callable[[T], str]) -> str:
    """Write the page, if one is asked for, and return the line that says so."""
    from backprop_cli.atomic import write_atomically

    if file is None:
        return ""
    write_atomically(pathlib.Path(file), to_html(explanation).encode("utf-8", "replace"))
    return f"\n\npage  {file}"


def _explanation(options: ExplainOptions) -> Explanation:
    if options.expression is not None or options.graph_file is not None:
        return _of_function(options)
    from backprop_cli.reporting.explain import explain as describe

    descent, where = _training(options)
    return describe(descent, options.index, where)


def _training(options: ExplainOptions) -> tuple[Descent, str]:
    """Return training at the weights that are asked for, and which these are, in words."""
    from backprop_cli.reporting.explain import at_the_start
    from backprop_cli.runs.beginning import after_steps

    config, descent = prepared(options.run, options.config_file, options.overrides)
    if options.step is not None:
        run = None if options.overrides else options.run
        descent = after_steps(config, descent, options.step, run)
        return descent, f"the weights after {options.step} update{'s' * (options.step != 1)}"
    if options.run is not None:
        return descent, f"the weights of {options.run}"
    return descent, at_the_start(config.training.seed)


def _of_function(options: ExplainOptions) -> Explanation:
    from backprop_cli.reporting.explain import explain_function
    from backprop_cli.reporting.explain.given import graph_of_file, values_of

    if options.expression is None:
        file = str(options.graph_file)
        return explain_function(graph_of_file(file), file, "values of the file")
    from backprop_cli.graph import graph_from_expression

    values, text = values_of(options.at, options.seed)
    graph = graph_from_expression(options.expression, values)
    return explain_function(graph, options.expression, text)
