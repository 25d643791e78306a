"""The sections below the steps: both modes side by side, and the lecture's recursions."""

from __future__ import annotations

from html import escape

from backprop_cli.reporting.explain import words
from backprop_cli.reporting.explain.explanation import Array, Explanation, Visit
from backprop_cli.reporting.explain.matrices import fits_table, number_text, table
from backprop_cli.reporting.explain.notation import plain, shape_text, typeset

_MAX_SLIDER = 10_000  # of m and d
_MAX_COLUMNS = 4  # of a derivative that is written out


def modes_section(explanation: Explanation, vectors: frozenset[str]) -> str:
    """Return forward and reverse mode along a path, step by step, and the lecture's count."""
    modes = explanation.modes
    if modes is None:
        return ""
    forward, reverse = modes.products
    m, d = modes.lecture
    sizes = " → ".join(f"{size:,}" for size in modes.sizes)
    rows = "".join(
        f"<tr>{_mode_cells(one, vectors)}{_mode_cells(other, vectors)}</tr>"
        for one, other in zip(modes.forward, modes.reverse, strict=True)
    )
    return f"""<section class="summary modes" aria-labelledby="modes-title">
<h2 id="modes-title">Forward and reverse mode, from {escape(plain(modes.start))} to \
{escape(plain(explanation.result))}: {sizes}</h2>
<table class="modes"><thead><tr><th colspan="3">Forward mode, from the input</th>\
<th colspan="3">Reverse mode, from the result</th></tr></thead>
<tbody>{rows}</tbody>
<tfoot><tr><td colspan="2">products</td><td>{forward:,}</td>\
<td colspan="2">products</td><td>{reverse:,}</td></tr></tfoot></table>
<p>The lecture counts for s = g(f(f(f(x)))), with x of d numbers and m numbers in between:</p>
<div class="sliders" data-largest="{_MAX_SLIDER}">
{_slider("m", m)}
{_slider("d", d)}
<p>forward mode 2m²d + md = <output id="count-forward">{2 * m * m * d + m * d:,}</output>,
reverse mode 2m² + md = <output id="count-reverse">{2 * m * m + m * d:,}</output></p>
</div>
</section>"""


def _slider(letter: str, value: int) -> str:
    return (
        f'<label>{letter} <input type="range" id="slider-{letter}" min="0" max="1000" '
        f'data-value="{value}"> <output id="value-{letter}">{value:,}</output></label>'
    )


def _mode_cells(step: tuple[str, Array, int], vectors: frozenset[str]) -> str:
    symbol, derivative, products = step
    if derivative.size == 1:
        value = number_text(float(derivative.item()))
    elif derivative.shape[1] <= _MAX_COLUMNS and fits_table(derivative):
        value = table(derivative)
    else:
        value = shape_text(derivative.shape)
    return f"<th>{typeset(symbol, vectors)}</th><td>{value}</td><td>{products:,}</td>"


def recursion_section(explanation: Explanation) -> str:
    """Return the calls of ComputeBranch and BackOp beside the topological order."""
    recursion = explanation.recursion
    order = [step.name for step in explanation.forward if step.kind == "computed"]
    back = [step.name for step in explanation.backward]
    parts = [
        _calls("ComputeBranch", recursion.compute_branch, order),
        _calls("BackOp", recursion.back_op, back),
    ]
    note = "" if recursion.ends else '<p class="note">Only the first calls are shown.</p>'
    return f"""<section class="summary recursion" aria-labelledby="recursion-title">
<h2 id="recursion-title">The lecture's recursions, call by call, and the topological order</h2>
<div class="pair">{"".join(parts)}</div>{note}
</section>"""


def _calls(name: str, visits: tuple[Visit, ...], order: list[str]) -> str:
    items = "".join(
        f'<li class="{visit.outcome.replace(" ", "-")}" '
        f'style="padding-left: {min(visit.depth, 12)}em">{_call(visit)}</li>'
        for visit in visits
    )
    return (
        f"<div><h3>{name} <small>{words.of_calls(visits)}</small></h3><ol>{items}</ol>"
        f'<p class="note">In topological order, each once: '
        f"{escape(', '.join(map(plain, order)))}.</p></div>"
    )


def _call(visit: Visit) -> str:
    text = escape(plain(visit.node))
    if visit.missing:
        text += f" <em>too early: {escape(', '.join(map(plain, visit.missing)))} not done</em>"
    elif visit.outcome != "done":
        text += f" <em>{visit.outcome}</em>"
    return text
