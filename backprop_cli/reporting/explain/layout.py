"""The positions of a classifier's nodes: a grid on which every edge is a straight line.

Row 1 is the spine, the longest chain of computed nodes to the result, such as z, s, p, l, J. Every
other node stands above or below the first node of the spine that uses it.

    row 0    inputs               x           y   lambda
    row 1    the spine            z   s   p   l   J
    row 2    parameters               b
    row 3    the penalty          W               r

Without a penalty, W stands in row 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from backprop_cli.reporting.explain.explanation import ForwardStep


class Place(NamedTuple):
    """A cell of the grid."""

    column: int
    row: int


def places(steps: Sequence[ForwardStep]) -> dict[str, Place]:
    """Return the cell of every node, by its name.

    Parameters
    ----------
    steps
        The nodes of a classifier's graph on one example, in the order of computation.
    """
    spine = _spine(steps)
    cells = {name: Place(column, 1) for column, name in enumerate(spine)}
    for step in reversed(steps):  # children first
        if step.name in cells:
            continue
        children = [other.name for other in steps if step.name in other.parents]
        column = min(cells[child].column for child in children)
        if step.kind == "input":
            row = 0
        elif step.kind == "computed" or any(child not in spine for child in children):
            row = 3
        else:
            row = 2
        cells[step.name] = Place(column, row)
    return cells


def layers(steps: Sequence[ForwardStep]) -> dict[str, Place]:
    """Return the cell of every node of any graph: columns by the order of computation.

    The longest chain of computed nodes is one row. Every other node stands in the nearest free row,
    a start node one column before the first node that uses it.
    """
    columns: dict[str, int] = {}
    for step in steps:
        if step.kind == "computed":
            columns[step.name] = 1 + max((columns.get(p, 0) for p in step.parents), default=0)
    children = {
        step.name: [other.name for other in steps if step.name in other.parents] for step in steps
    }
    for step in steps:
        if step.kind != "computed":
            columns[step.name] = min((columns[c] for c in children[step.name]), default=1) - 1
    rows = dict.fromkeys(_spine(steps), 0)
    taken = {(columns[name], 0) for name in rows}
    for step in reversed(steps):
        if step.name in rows:
            continue
        near = rows[children[step.name][0]] if children[step.name] else 0
        first = 1 if step.kind == "parameter" else -1
        row = near
        for distance in range(len(steps) + 1):
            tries = [near + first * distance, near - first * distance]
            free = [row for row in tries if (columns[step.name], row) not in taken]
            if free:
                row = free[0]
                break
        rows[step.name] = row
        taken.add((columns[step.name], row))
    top = min(rows.values())
    return {name: Place(columns[name], row - top) for name, row in rows.items()}


def _spine(steps: Sequence[ForwardStep]) -> list[str]:
    """Return the longest chain of computed nodes that ends at the result."""
    chains: dict[str, list[str]] = {}
    for step in steps:
        if step.kind == "computed":
            before = [chains[parent] for parent in step.parents if parent in chains]
            chains[step.name] = [*max(before, key=len, default=[]), step.name]
    return max(chains.values(), key=len)
