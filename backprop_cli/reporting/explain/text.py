"""An explanation as text for a terminal."""

from __future__ import annotations

import textwrap

import numpy as np

from backprop_cli.reporting.explain import words
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
_MOST_CLASSES = 20
_LONGEST_NAME = 40
_NUMBERS_A_LINE = 5


def to_text(explanation: Explanation) -> str:
    """Return lines of at most 100 columns."""
    forward, backward = explanation.forward, explanation.backward
    lines = [
        *_heading(explanation),
        "",
        *_classes(explanation),
        "",
        "Forward pass: the value of each node, after those of its parents",
    ]
    for number, step in enumerate(forward, 1):
        lines += _forward_lines(number, step)
    lines += [
        "",
        f"Backward pass: the gradient of {explanation.result} by each node, a row, after those of "
        "its children;",
        "then the Jacobian of the node by each of its parents",
    ]
    for number, step_back in enumerate(backward, len(forward) + 1):
        lines += _backward_lines(number, step_back)
    return "\n".join([*lines, "", *_products(explanation)])


def _heading(explanation: Explanation) -> list[str]:
    example = explanation.example
    penalty = f"l2 {explanation.l2:g}" if explanation.l2 else "no l2"
    return [
        f"Example {example.index} of {example.n_examples} to train on: class {example.label}, "
        f"{_shown(example.class_names[example.label])}",
        f"{explanation.loss}, {penalty}; W random as training starts (seed {explanation.seed}), "
        "b zero; float64",
        "",
        *textwrap.wrap(_printable(words.meaning(example, explanation.outcome)), _WIDTH),
    ]


def _classes(explanation: Explanation) -> list[str]:
    """Return a table of the classes: all, or those with the largest scores and the true one."""
    example, outcome = explanation.example, explanation.outcome
    shown = np.arange(len(example.class_names))
    if len(shown) > _MOST_CLASSES:
        best = np.argsort(-outcome.scores, kind="stable")[:_MOST_CLASSES]
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
        lines.append(f"{'':>8}(of {len(example.class_names)} classes; all are in --json)")
    return lines


def _forward_lines(number: int, step: ForwardStep) -> list[str]:
    name, formula = plain(step.name), plain(step.formula)
    what = formula if step.kind == "computed" else ""
    line = f"{number:>4}  {name:<3} {step.kind:<10} {shape_text(step.value.shape):<13} {what}"
    return [line.rstrip(), *_value_lines(step.value)]


def _backward_lines(number: int, step: BackwardStep) -> list[str]:
    lines = [f"{number:>4}  {plain(step.name):<3} {plain(step.chain_rule)}"]
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
            _INDENT[:-2] + "".join(numbers[first : first + _NUMBERS_A_LINE])
            for first in range(0, len(numbers), _NUMBERS_A_LINE)
        ]
    return _wrapped(
        f"norm {np.linalg.norm(value):.4g}, from {value.min():.4g} to {value.max():.4g}"
    )


def _products(explanation: Explanation) -> list[str]:
    counts = explanation.forward_mode
    lines = [
        "Multiplications of two numbers",
        f"  reverse mode{explanation.reverse_mode_products:>18,}   "
        f"for the gradients by all {len(explanation.backward)} nodes, in one backward pass",
    ]
    for name, count in counts.items():
        how = (
            "all run and counted"
            if count.measured == count.coordinates
            else f"counted on {count.measured}, which all cost the same, and scaled"
        )
        lines.append(
            f"  forward mode{count.products:>18,}   for {name}, "
            f"{counted(count.coordinates, 'coordinate')}: {how}"
        )
    lines.append(
        f"  Forward mode takes {explanation.ratio:,.1f} times as many for {' and '.join(counts)}."
    )
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT + "  ",
        break_long_words=False,
        drop_whitespace=True,
    )


def _shown(name: str) -> str:
    """Return a class name that does no harm in a terminal: printable, and not too long."""
    name = _printable(name)
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "�" for sign in text)
