"""A path in a graph, from one start node to the result, and the chain rule along it.

On the path every node depends on the start node through one parent alone. So the derivative is one
product of Jacobians, which forward mode multiplies from the start and reverse mode from the result.
"""

from __future__ import annotations

from typing import NamedTuple

from backprop_cli.graph.graph import Graph
from backprop_cli.graph.jacobians import Array, CountedProduct, as_array
from backprop_cli.graph.nodes import Edge, Node


class ModeStep(NamedTuple):
    """One product. ``derivative`` is what is known after it: du/dx, or dJ/du."""

    of: Node
    by: Node
    derivative: Array
    products: int


class BothModes(NamedTuple):
    """Forward and reverse mode, step by step, along one path."""

    path: list[Edge]
    forward: list[ModeStep]
    reverse: list[ModeStep]


def path_from(graph: Graph, start: Node) -> list[Edge] | None:
    """Return the edges from a start node to the result, if they are one path."""
    dependent = {start}
    path: list[Edge] = []
    for node in graph.leading_to(graph.result):
        edges = [Edge(node, i) for i, p in enumerate(node.parents) if p in dependent]
        if not edges:
            continue
        last = path[-1].child if path else start
        if len(edges) > 1 or edges[0].parent is not last:
            return None
        dependent.add(node)
        path.append(edges[0])
    return path or None


def both_modes(path: list[Edge]) -> BothModes:
    """Multiply the Jacobians of a path from either end, after a forward pass."""
    jacobians = [edge.child.jacobian(edge.position) for edge in path]
    start, result = path[0].parent, path[-1].child
    multiply = CountedProduct()
    g = as_array(jacobians[0])
    forward = [ModeStep(path[0].child, start, g, 0)]
    for edge, jacobian in zip(path[1:], jacobians[1:], strict=True):
        before = multiply.count
        g = multiply(jacobian, g)
        forward.append(ModeStep(edge.child, start, g, multiply.count - before))
    multiply = CountedProduct()
    g = as_array(jacobians[-1])
    reverse = [ModeStep(result, path[-1].parent, g, 0)]
    for edge, jacobian in zip(path[-2::-1], jacobians[-2::-1], strict=True):
        before = multiply.count
        g = multiply(g, jacobian)
        reverse.append(ModeStep(result, edge.parent, g, multiply.count - before))
    return BothModes(path, forward, reverse)
