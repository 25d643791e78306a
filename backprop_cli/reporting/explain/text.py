"""An explanation as text for a terminal."""

from __future__ import annotations

import textwrap

import numpy as np

from backprop_cli.reporting.explain import words
from backprop_cli.reporting.explain.explanation import (
    SHORT,
    Array,
    BackwardStep,
    Classified,
    Explanation,
    ForwardStep,
    Modes,
    Visit,
    norm_of,
)
from backprop_cli.reporting.explain.notation import (
    counted,
    plain,
    printable,
    shape_text,
    shortened,
)

MAX_WIDTH = 100
_INDENT = " " * 10
_MAX_CLASSES = 20
_MAX_CALLS = 40  # of a recursion
_MAX_TABLE = 6  # rows and columns of a Jacobian that is written out
_CELL = 11


def to_text(explanation: Explanation, width: int = MAX_WIDTH) -> str:
    """Return text in lines of at most so many characters."""
    return _Text(explanation, min(width, MAX_WIDTH)).text()


class _Text:
    """Writes one explanation in lines of one width."""

    def __init__(self, explanation: Explanation, width: int) -> None:
        self._explanation, self._width = explanation, width
        self._names = max(3, *(len(plain(step.name)) for step in explanation.forward))

    def text(self) -> str:
        forward, backward = self._explanation.forward, self._explanation.backward
        lines = [*self._heading(), ""]
        if self._explanation.classified is not None:
            lines += [*self._classes(self._explanation.classified), ""]
        lines += self._wrapped("Forward pass, parents first: the value of each node", "")
        for number, step in enumerate(forward, 1):
            lines += self._forward_lines(number, step)
        about = (
            f"Backward pass, children first: the gradient of {plain(self._explanation.result)} "
            "with respect to each node (a row vector), and the Jacobian of the node with respect "
            "to each of its parents"
        )
        lines += ["", *self._wrapped(about, "")]
        for number, step_back in enumerate(backward, len(forward) + 1):
            lines += self._backward_lines(number, step_back)
        lines += ["", *self._products()]
        if self._explanation.modes is not None:
            lines += ["", *self._modes(self._explanation.modes)]
        return "\n".join([*lines, "", *self._recursion()])

    def _heading(self) -> list[str]:
        setting = [line for part in self._explanation.setting for line in self._wrapped(part, "")]
        return [*setting, "", *self._wrapped(printable(self._explanation.meaning), "")]

    def _classes(self, classified: Classified) -> list[str]:
        """Return a table of all classes, or of the true one and those with the largest scores."""
        example, outcome = classified.example, classified.outcome
        shown = np.arange(len(example.class_names))
        if len(shown) > _MAX_CLASSES:
            best = np.argsort(-outcome.scores, kind="stable")[:_MAX_CLASSES]
            shown = np.unique([*best, example.label])
        room = max(5, self._width - 52)
        names = [shortened(example.class_names[k]) for k in shown]
        width = min(room, max(5, *map(len, names)))
        p = outcome.probabilities
        lines = [
            f"{'':>6}  {'class':<{width}}{'score':>12}" + ("" if p is None else "  probability")
        ]
        for k, name in zip(shown, names, strict=True):
            line = f"{k:>6}  {name:<{width}}"
            if len(name) > width:  # a line of its own
                lines.append(line)
                line = " " * (8 + width)
            line += f"{outcome.scores[k]:>12.4f}"
            line += "" if p is None else f"{p[k]:>13.4g}"
            marks = [("true", k == example.label), ("predicted", k == outcome.predicted)]
            line += "".join(f"  {mark}" for mark, holds in marks if holds)
            lines.append(line)
        if len(shown) < len(example.class_names):
            lines.append(f"{'':>8}(of {len(example.class_names)} classes; --json has all)")
        return lines

    def _forward_lines(self, number: int, step: ForwardStep) -> list[str]:
        formula = plain(step.formula) if step.kind == "computed" else ""
        kind, shape = f"{step.kind:<10}", f"{shape_text(step.value.shape):<13}"
        line = f"{number:>4}  {plain(step.name):<{self._names}} {kind} {shape} {formula}"
        show = self._matrix_lines if step.value.ndim == 2 else self._value_lines
        lines = [*self._wrapped(line, ""), *show(step.value)]
        for detail in step.details:
            lines += self._wrapped(detail.title)
            lines += self._value_lines(detail.values)
        return lines

    def _backward_lines(self, number: int, step: BackwardStep) -> list[str]:
        line = f"{number:>4}  {plain(step.name):<{self._names}} {plain(step.chain_rule)}"
        lines = self._wrapped(line, "")
        if step.simplified:
            lines += self._wrapped("= " + plain(step.simplified))
        if len(step.terms) > 1:
            norms = zip(step.terms, step.term_norms, strict=True)
            lines += self._wrapped(
                "norms of the terms: "
                + ", ".join(f"{norm:.4g} from {plain(term.child)}" for term, norm in norms)
            )
        lines += [f"{_INDENT}gradient, {shape_text(step.gradient.shape)}"]
        lines += self._matrix_lines(step.gradient)
        for edge in step.jacobians:
            formula = f"{edge.symbol} = {edge.formula}   ({shape_text(edge.shape)})"
            lines += self._wrapped(plain(formula))
            table = edge.array(_MAX_TABLE**2)
            if table is not None and table.size > 1 and max(table.shape) <= _MAX_TABLE:
                lines += self._matrix_lines(table)
            else:
                lines += self._wrapped(
                    f"{table.item():.4g}"
                    if table is not None and table.size == 1
                    else f"norm {edge.norm():.4g}"
                )
        return lines

    def _matrix_lines(self, values: Array) -> list[str]:
        """Return a small matrix row by row; otherwise what `_value_lines` says."""
        rows, columns = values.shape
        room = (self._width - len(_INDENT)) // _CELL
        if rows == 1 or values.size > _MAX_TABLE**2 or columns > room:
            return self._value_lines(values)
        return [_INDENT + "".join(f"{number:>{_CELL}.4g}" for number in row) for row in values]

    def _value_lines(self, value: Array) -> list[str]:
        if value.size == 1:
            return self._wrapped(f"{value.item():.4g}")
        if value.size <= SHORT:
            per_line = max(1, min(5, (self._width - len(_INDENT) + 2) // _CELL))
            numbers = [f"{number:>{_CELL}.4g}" for number in np.ravel(value)]
            return [
                _INDENT[:-2] + "".join(numbers[first : first + per_line])
                for first in range(0, len(numbers), per_line)
            ]
        return self._wrapped(
            f"norm {norm_of(value):.4g}, from {value.min():.4g} to {value.max():.4g}"
        )

    def _products(self) -> list[str]:
        explanation = self._explanation
        counts = explanation.forward_mode
        lines = ["Scalar multiplications"]
        lines += self._wrapped(
            f"reverse mode{explanation.reverse_mode_products:>18,}   for the gradients by all "
            f"{len(explanation.backward)} nodes, in one backward pass",
            "  ",
        )
        for name, count in counts.items():
            how = (
                "counted on all"
                if count.measured == count.coordinates
                else f"counted on {count.measured} and scaled, as all cost the same"
            )
            lines += self._wrapped(
                f"forward mode{count.products:>18,}   for {plain(name)}, "
                f"{counted(count.coordinates, 'coordinate')}: {how}",
                "  ",
            )
        return lines + self._wrapped(words.of_modes(explanation), "  ")

    def _modes(self, modes: Modes) -> list[str]:
        """Return both modes along the path, step by step."""
        sizes = " → ".join(map(str, modes.sizes))
        lines = self._wrapped(
            f"The path from {plain(modes.start)} to {plain(self._explanation.result)}, "
            f"of sizes {sizes}, multiplied from either end",
            "",
        )
        longest = max(len(plain(symbol)) for symbol, _, _ in (*modes.forward, *modes.reverse))
        forward = [_mode_text(longest, *step) for step in modes.forward]
        reverse = [_mode_text(longest, *step) for step in modes.reverse]
        column = len(forward[0])
        wide = self._width >= 2 * column + 5
        title = f"  {'forward mode':<{column}}   reverse mode"
        lines.append(title if wide else "  forward mode")
        if wide:
            lines += [
                f"  {one:<{column}}   {other}" for one, other in zip(forward, reverse, strict=True)
            ]
        else:
            lines += [f"  {one}" for one in forward]
            lines += ["  reverse mode", *(f"  {one}" for one in reverse)]
        (m, d), (together, back) = modes.lecture, modes.products
        lines += self._wrapped(f"products: forward mode {together:,}, reverse mode {back:,}", "  ")
        return lines + self._wrapped(
            f"the lecture's s = g(f(f(f(x)))) with m = {m:,} and d = {d:,}: forward mode "
            f"2m²d + md = {2 * m * m * d + m * d:,}, reverse mode 2m² + md = {2 * m * m + m * d:,}",
            "  ",
        )

    def _recursion(self) -> list[str]:
        """Return the calls of the lecture's recursions, beside which each node is done once."""
        recursion = self._explanation.recursion
        lines = self._wrapped("The lecture's recursions, call by call", "")
        for name, visits in (
            ("ComputeBranch", recursion.compute_branch),
            ("BackOp", recursion.back_op),
        ):
            done = sum(visit.outcome == "done" for visit in visits)
            lines += self._wrapped(
                f"{name}: {words.of_calls(visits)}; in topological order {done}, one for each node",
                "  ",
            )
            shown = "; ".join(_visit_text(visit) for visit in visits[:_MAX_CALLS])
            more = "; ..." if len(visits) > _MAX_CALLS or not recursion.ends else ""
            lines += self._wrapped(shown + more, "    ")
        return lines

    def _wrapped(self, text: str, indent: str = _INDENT) -> list[str]:
        after = indent if indent in ("  ", "    ") else _INDENT + "  "
        after = "" if indent == "" and not text.startswith(" ") else after
        return textwrap.wrap(
            text, self._width, initial_indent=indent, subsequent_indent=after,
            break_on_hyphens=False,
        )  # fmt: skip


def _mode_text(longest: int, symbol: str, derivative: Array, products: int) -> str:
    """Return one step of a mode: symbol, number or shape, and products."""
    value = f"{derivative.item():.4g}" if derivative.size == 1 else shape_text(derivative.shape)
    return f"{plain(symbol):<{longest}}  {value:<14} {products:>12,}"


def _visit_text(visit: Visit) -> str:
    text = plain(visit.node) if visit.via is None else f"{plain(visit.via)} → {plain(visit.node)}"
    if visit.missing:
        return f"{text} too early ({', '.join(map(plain, visit.missing))} not done)"
    return text if visit.outcome == "done" else f"{text} again"
