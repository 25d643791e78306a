"""Forward mode: the derivative by one start node, carried along with the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backprop_cli.errors import GraphError
from backprop_cli.graph.graph import Graph
from backprop_cli.graph.jacobians import Array, CountedProduct, take_columns
from backprop_cli.graph.nodes import Node


@dataclass(frozen=True)
class ForwardMode:
    """What forward mode found.

    Attributes
    ----------
    derivative : array
        d(result)/d(start), (size of the result) x k: a column for each coordinate asked for.
    tangents : dict of Node to array
        du/d(start), (size of u) x k, for every node u between start and result, in the order of
        computation.
    products : int
        The multiplications of two numbers that the products of Jacobians took.
    """

    derivative: Array
    tangents: dict[Node, Array]
    products: int


def forward_mode(
    graph: Graph, start: Node, coordinates: Sequence[int] | None = None
) -> ForwardMode:
    """Compute the derivative of the graph's result by one start node x.

        du/dx = sum over the parents p of u of  du/dp  dp/dx

    Parameters
    ----------
    graph
        After a forward pass. The result may have any shape.
    start
        x.
    coordinates
        Numbers of entries of vec(x), from 0: only these k columns of the derivative are computed,
        which is what makes it feasible for a large x. Default: all.

    Raises
    ------
    GraphError
        If x has no entry of such a number or is not of this graph, or there was no forward pass.
    """
    graph.check_owns(start)
    columns = np.arange(start.size) if coordinates is None else np.array(coordinates, dtype=int)
    outside = columns[(columns < 0) | (columns >= start.size)]
    if outside.size:
        raise GraphError(f"node '{start.name}' has {start.size} entries, no number {outside[0]}")

    result = graph.result
    multiply = CountedProduct()
    tangents: dict[Node, Array] = {}
    for node in graph.leading_to(result):
        terms = []
        for position, parent in enumerate(node.parents):
            if parent is start:  # dx/dx = I need not be multiplied
                terms.append(take_columns(node.jacobian(position), columns))
            elif parent in tangents:
                terms.append(multiply(node.jacobian(position), tangents[parent]))
        if terms:
            tangents[node] = np.sum(terms, axis=0)

    if result is start:
        derivative = np.eye(result.size)[:, columns]
    else:
        derivative = tangents.get(result, np.zeros((result.size, len(columns))))
    return ForwardMode(derivative, tangents, multiply.count)
