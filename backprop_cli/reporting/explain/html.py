"""An explanation as one self-contained page: no network, and readable without scripts."""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template

from backprop_cli.reporting.explain import pictures, words
from backprop_cli.reporting.explain.batch import BatchExplanation
from backprop_cli.reporting.explain.batch_page import batch_sections
from backprop_cli.reporting.explain.diagram import to_svg
from backprop_cli.reporting.explain.explanation import Explanation
from backprop_cli.reporting.explain.notation import counted, plain
from backprop_cli.reporting.explain.panels import Panels
from backprop_cli.reporting.explain.sections import modes_section, recursion_section

_SAME = (
    "The loop takes n C d multiplications, and so does G Xᵀ: they are the same ones. As one matrix "
    "product they run on all cores, from memory that is read once."
)
_LOCAL_VECTORS = frozenset("ag")  # vectors that formulas define on the spot


def to_html(explanation: Explanation) -> str:
    """Return the page."""
    nodes = {step.name: step.value for step in explanation.forward}
    vectors = frozenset(name for name, value in nodes.items() if value.ndim == 1)
    vectors |= _LOCAL_VECTORS - nodes.keys()
    return Template(_resource("page.html")).substitute(
        style=_resource("style.css"),
        script=_resource("page.js"),
        photograph=_photograph(explanation),
        title=escape(explanation.title),
        setting=escape(". ".join(explanation.setting) + "."),
        meaning=escape(explanation.meaning),
        graph=to_svg(explanation, vectors),
        total=len(explanation.forward) + len(explanation.backward),
        steps=Panels(explanation, vectors).sections(),
        products=_products(explanation),
        modes="" if explanation.modes is None else modes_section(explanation, vectors),
        recursion=recursion_section(explanation),
    )


def batch_to_html(batch: BatchExplanation) -> str:
    """Return the page of a mini-batch."""
    matrices, steps, total = batch_sections(batch)
    return Template(_resource("page.html")).substitute(
        style=_resource("style.css"),
        script=_resource("page.js"),
        photograph="",
        title=escape(batch.setting[0]),
        setting=escape(batch.setting[1]),
        meaning="The gradient of the mini-batch: a loop over its examples, and one matrix product.",
        graph=matrices,
        total=total,
        steps=steps,
        products=f"<p>{escape(_SAME)}</p>",
        modes="",
        recursion="",
    )


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _photograph(explanation: Explanation) -> str:
    classified = explanation.classified
    if classified is None or classified.example.image_shape is None:
        return ""
    example = classified.example
    uri = pictures.photograph(example.features, classified.example.image_shape)
    name = escape(example.class_names[example.label])
    return f'<img class="photograph" src="{uri}" alt="The example, {name}">'


def _products(explanation: Explanation) -> str:
    rows = [
        _row(
            "Reverse mode",
            f"the gradients by all {len(explanation.backward)} nodes, in one backward pass",
            explanation.reverse_mode_products,
        )
    ]
    for name, count in explanation.forward_mode.items():
        how = (
            ""
            if count.measured == count.coordinates
            else f" (counted on {count.measured} and scaled, as all cost the same)"
        )
        rows.append(
            _row(
                "Forward mode",
                f"the gradient by {plain(name)}, {counted(count.coordinates, 'coordinate')}{how}",
                count.products,
            )
        )
    return (
        f'<table class="products">{"".join(rows)}</table>\n'
        f"<p>{escape(words.of_modes(explanation))}</p>"
    )


def _row(mode: str, gives: str, products: int) -> str:
    return f'<tr><th scope="row">{mode}</th><td>{products:,}</td><td>{escape(gives)}</td></tr>'
