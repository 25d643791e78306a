"""Forward mode: the derivative with respect to one start node, from the start node onwards."""

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
    """The outcome of forward mode.

    Attributes
    ----------
    derivative : array
        d(result)/d(start), (size of the result) x k: one column per requested coordinate.
    tangents : dict of Node to array
        du/d(start), (size of u) x k, for every node u between start and result, in the order of
        computation.
    products : int
        The number of scalar multiplications in all products of Jacobians.
    """

    derivative: Array
    tangents: dict[Node, Array]
    products: int


def forward_mode(
    graph: Graph, start: Node, coordinates: Sequence[int] | None = None
) -> ForwardMode:
    """Compute the derivative of the graph's result with respect to one start node x.

        du/dx = sum over the parents p of u of  du/dp  dp/dx

    Parameters
    ----------
    graph
        A graph after a forward pass. Its result may have any shape.
    start
        x.
    coordinates
        Indices into vec(x). Only these k columns of the derivative are computed, which makes
        forward mode feasible for a large x. Default: all.

    Raises
    ------
    GraphError
        If a coordinate is out of range, x belongs to another graph, or the forward pass has not
        been run.
    """
    graph.check_owns(start)
    columns = np.arange(start.size) if coordinates is None else np.array(coordinates, dtype=int)
    outside = columns[(columns < 0) | (columns >= start.size)]
    if outside.size:
        raise GraphError(
            f"node '{start.name}' has {start.size} entries, none with index {outside[0]}"
        )

    result = graph.result
    multiply = CountedProduct()
    tangents: dict[Node, Array] = {}
    for node in graph.leading_to(result):
        terms = []
        for position, parent in enumerate(node.parents):
            if parent is start:  # no need to multiply by dx/dx = I
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
