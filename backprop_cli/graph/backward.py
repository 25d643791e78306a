"""The generic backward pass: the gradient of the result by every node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backprop_cli.errors import GraphError
from backprop_cli.graph.graph import Graph
from backprop_cli.graph.jacobians import Array, CountedProduct, Jacobian, as_array
from backprop_cli.graph.nodes import Edge, Node


@dataclass(frozen=True)
class BackwardPass:
    """What a backward pass found. Nothing of it is kept in the graph.

    Attributes
    ----------
    order : list of Node
        The nodes that lead to the result, in the order in which their gradients were computed:
        the result first.
    gradients : dict of Node to array
        dJ/du for each node u, a row: 1 x (size of u). For a matrix,
        ``gradients[W].reshape(W.value.shape)`` is dJ/dW. Zero for a node that does not lead to
        the result.
    jacobians : dict of Edge to Jacobian
        du/dp for each edge from a node u of ``order`` to its parent p.
    products : int
        The multiplications of two numbers that the products of gradients and Jacobians took.
    """

    order: list[Node]
    gradients: dict[Node, Array]
    jacobians: dict[Edge, Jacobian]
    products: int


def backward_pass(graph: Graph) -> BackwardPass:
    """Compute dJ/dc for every node c, J being the graph's result.

        dJ/dc = sum over the children u of c of  dJ/du  du/dc

    Only children that lead to the result count: by the others J does not change.

    Parameters
    ----------
    graph
        After a forward pass. Its result must be a single number, of shape () or (1,).

    Raises
    ------
    GraphError
        If the result is not a single number, or there was no forward pass.
    """
    result = graph.result
    if result.size != 1:
        raise GraphError(
            f"the result '{result.name}' has shape {result.value.shape}: "
            "the backward pass needs a single number"
        )
    multiply = CountedProduct()
    gradients: dict[Node, Array] = {result: np.ones((1, 1))}
    jacobians: dict[Edge, Jacobian] = {}

    # The lecture's BackOp(s) goes on to the parents of s whether or not the gradient of s is
    # complete: a parent reached along one branch is visited again along every other, and Jacobians
    # are computed again each time. Here the order is the reverse of a topological one: when the
    # turn of a node comes, all of its children have had theirs, and its gradient is complete at
    # once. BackOp also writes the Jacobian of s by its parent p as df_p/dp; df_s/dp is meant.
    order = graph.leading_to(result)[::-1]
    for node in order:
        if node is not result:
            gradients[node] = _gradient(node, result, gradients, jacobians, multiply)
        for position in range(len(node.parents)):
            jacobians[Edge(node, position)] = node.jacobian(position)

    for node in graph.topological_order():
        if node not in gradients:
            gradients[node] = np.zeros((1, node.size))
    return BackwardPass(order, gradients, jacobians, multiply.count)


def _gradient(
    node: Node,
    result: Node,
    gradients: dict[Node, Array],
    jacobians: dict[Edge, Jacobian],
    multiply: CountedProduct,
) -> Array:
    """Return the sum of dJ/du du/dc over the children u of the node c that have a gradient."""
    gradient = np.zeros((1, node.size))
    for edge in node.uses:
        if edge.child is result:  # dJ/dJ = 1 need not be multiplied
            gradient = gradient + as_array(jacobians[edge])
        elif edge.child in gradients:
            gradient = gradient + multiply(gradients[edge.child], jacobians[edge])
    return gradient
