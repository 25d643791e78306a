"""An explanation as text for a terminal."""

from __future__ import annotations

import textwrap

import numpy as np

from backprop_cli.reporting.explain.explanation import (
    SHORT,
    Array,
    BackwardStep,
    EdgeJacobian,
    Explanation,
    ForwardStep,
)
from backprop_cli.reporting.explain.notation import counted, plain, shape_text

_WIDTH = 100
_INDENT = " " * 10
_MAX_CLASSES = 20
_MAX_NAME_LENGTH = 40
_NUMBERS_PER_LINE = 5


def to_text(explanation: Explanation) -> str:
    """Return text in lines of at most 100 characters."""
    forward, backward = explanation.forward, explanation.backward
    width = max(3, *(len(plain(step.name)) for step in forward))
    lines = [
        *_heading(explanation),
        "",
        *_classes(explanation),
        "",
        "Forward pass, parents first: the value of each node",
    ]
    for number, step in enumerate(forward, 1):
        lines += _forward_lines(number, step, width)
    lines += [
        "",
        f"Backward pass, children first: the gradient of {explanation.result} with respect to each "
        "node (a row vector),",
        "and the Jacobian of the node with respect to each of its parents",
    ]
    for number, step_back in enumerate(backward, len(forward) + 1):
        lines += _backward_lines(number, step_back, width)
    return "\n".join([*lines, "", *_products(explanation)])


def _heading(explanation: Explanation) -> list[str]:
    example = explanation.example
    penalty = f"l2 {explanation.l2:g}" if explanation.l2 else "no l2"
    return [
        f"Training example {example.index} of {example.n_examples}: class {example.label}, "
        f"{_shown(example.class_names[example.label])}",
        f"{explanation.loss}, {penalty}; initial weights: W random (seed {explanation.seed}), "
        "b zero; float64",
        "",
        *textwrap.wrap(_printable(explanation.meaning), _WIDTH),
    ]


def _classes(explanation: Explanation) -> list[str]:
    """Return a table of all classes, or of the true one and those with the largest scores."""
    example, outcome = explanation.example, explanation.outcome
    shown = np.arange(len(example.class_names))
    if len(shown) > _MAX_CLASSES:
        best = np.argsort(-outcome.scores, kind="stable")[:_MAX_CLASSES]
        shown = np.unique([*best, example.label])
    names = [_shown(example.class_names[k]) for k in shown]
    width = max(5, *map(len, names))
    p = outcome.probabilities
    lines = [f"{'':>6}  {'class':<{width}}{'score':>12}" + ("" if p is None else "  probability")]
    for k, name in zip(shown, names, strict=True):
        line = f"{k:>6}  {name:<{width}}{outcome.scores[k]:>12.4f}"
        line += "" if p is None else f"{p[k]:>13.4g}"
        marks = [("true", k == example.label), ("predicted", k == outcome.predicted)]
        line += "".join(f"  {mark}" for mark, holds in marks if holds)
        lines.append(line)
    if len(shown) < len(example.class_names):
        lines.append(f"{'':>8}(of {len(example.class_names)} classes; --json has all)")
    return lines


def _forward_lines(number: int, step: ForwardStep, width: int) -> list[str]:
    formula = plain(step.formula) if step.kind == "computed" else ""
    kind, shape = f"{step.kind:<10}", f"{shape_text(step.value.shape):<13}"
    line = f"{number:>4}  {plain(step.name):<{width}} {kind} {shape} {formula}"
    return [*_wrapped(line, indent=""), *_value_lines(step.value)]


def _backward_lines(number: int, step: BackwardStep, width: int) -> list[str]:
    line = f"{number:>4}  {plain(step.name):<{width}} {plain(step.chain_rule)}"
    lines = _wrapped(line, indent="")
    if step.simplified:
        lines += _wrapped("= " + plain(step.simplified))
    if len(step.terms) > 1:
        norms = zip(step.terms, step.term_norms, strict=True)
        lines += _wrapped(
            "norms of the terms: "
            + ", ".join(f"{norm:.4g} from {plain(term.child)}" for term, norm in norms)
        )
    lines += [f"{_INDENT}gradient, {shape_text(step.gradient.shape)}"]
    lines += _value_lines(step.gradient)
    for edge in step.jacobians:
        lines += _wrapped(_jacobian_text(edge))
    return lines


def _jacobian_text(edge: EdgeJacobian) -> str:
    return plain(f"{edge.symbol} = {edge.formula}   ({shape_text(edge.shape)})")


def _value_lines(value: Array) -> list[str]:
    if value.size == 1:
        return _wrapped(f"{value.item():.4g}")
    if value.size <= SHORT:
        numbers = [f"{number:>11.4g}" for number in np.ravel(value)]
        return [
            _INDENT[:-2] + "".join(numbers[first : first + _NUMBERS_PER_LINE])
            for first in range(0, len(numbers), _NUMBERS_PER_LINE)
        ]
    return _wrapped(
        f"norm {np.linalg.norm(value):.4g}, from {value.min():.4g} to {value.max():.4g}"
    )


def _products(explanation: Explanation) -> list[str]:
    counts = explanation.forward_mode
    lines = [
        "Scalar multiplications",
        f"  reverse mode{explanation.reverse_mode_products:>18,}   "
        f"for the gradients by all {len(explanation.backward)} nodes, in one backward pass",
    ]
    for name, count in counts.items():
        how = (
            "counted on all"
            if count.measured == count.coordinates
            else f"counted on {count.measured} and scaled, as all cost the same"
        )
        lines.append(
            f"  forward mode{count.products:>18,}   for {name}, "
            f"{counted(count.coordinates, 'coordinate')}: {how}"
        )
    lines.append(
        f"  Forward mode takes {explanation.ratio:,.1f} times as many for {' and '.join(counts)}."
    )
    return lines


def _wrapped(text: str, indent: str = _INDENT) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=_INDENT + "  ",
        break_long_words=False,
        drop_whitespace=True,
    )


def _shown(name: str) -> str:
    """Return a class name that is safe to print in a terminal, and not too long."""
    name = _printable(name)
    return name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 1] + "…"


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "�" for sign in text)
