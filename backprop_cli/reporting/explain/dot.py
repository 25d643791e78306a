"""An explanation's graph as Graphviz text."""

from __future__ import annotations

from backprop_cli.reporting.explain.explanation import Explanation
from backprop_cli.reporting.explain.notation import plain, shape_text

_STYLES = {
    "input": 'shape=box, style=filled, fillcolor="#eceff3"',
    "parameter": 'shape=box, style="filled,bold", fillcolor="#fde3c8"',
    "computed": 'shape=box, style="filled,rounded", fillcolor="#d9e8f6"',
}


def to_dot(explanation: Explanation) -> str:
    """Return a directed graph. Nodes have their shapes, edges their Jacobians."""
    lines = ["digraph backprop {", "  rankdir=LR;"]
    for step in explanation.forward:
        label = f"{plain(step.formula)}\n{shape_text(step.value.shape)}"
        lines.append(f"  {_quoted(step.name)} [label={_quoted(label)}, {_STYLES[step.kind]}];")
    for back in explanation.backward:
        for edge in back.jacobians:
            label = plain(f"{edge.symbol} = {edge.formula}\n{shape_text(edge.shape)}")
            lines.append(
                f"  {_quoted(edge.parent)} -> {_quoted(edge.child)} [label={_quoted(label)}];"
            )
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    """Return a quoted DOT string. Line breaks are kept in the label."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
