"""The generic backward pass: the gradient of the result with respect to every node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backprop_cli.graph.graph import Graph
from backprop_cli.graph.jacobians import Array, CountedProduct, Jacobian, as_array
from backprop_cli.graph.nodes import Edge, Node


@dataclass(frozen=True)
class BackwardPass:
    """The outcome of a backward pass. None of it is stored in the graph.

    Attributes
    ----------
    order : list of Node
        The nodes that lead to the result, in the order in which their gradients were computed:
        the result first.
    gradients : dict of Node to array
        dJ/du for each node u, (size of J) x (size of u): a row vector where J is a number. For a
        matrix, ``gradients[W].reshape(W.value.shape)`` is then dJ/dW. Zero for a node that does
        not lead to the result.
    jacobians : dict of Edge to Jacobian
        du/dp for each edge from a node u of ``order`` to its parent p.
    products : int
        The number of scalar multiplications in all products of gradients and Jacobians.
    """

    order: list[Node]
    gradients: dict[Node, Array]
    jacobians: dict[Edge, Jacobian]
    products: int


def backward_pass(graph: Graph) -> BackwardPass:
    """Compute dJ/dc for every node c, J being the graph's result: a number or a vector.

        dJ/dc = sum over the children u of c of  dJ/du  du/dc

    Only children that lead to the result count: J does not depend on the others.

    Parameters
    ----------
    graph
        A graph after a forward pass.

    Raises
    ------
    GraphError
        If the forward pass has not been run.
    """
    result = graph.result
    multiply = CountedProduct()
    gradients: dict[Node, Array] = {result: np.eye(result.size)}
    jacobians: dict[Edge, Jacobian] = {}

    # The lecture's BackOp(s) goes on to the parents of s whether or not the gradient of s is
    # complete. A node reached along several branches is then visited once for each of them, and
    # its Jacobians are computed every time. Here nodes are visited in reverse topological order:
    # all children of a node come before it, so its gradient is complete after one visit. BackOp
    # also writes the Jacobian of s with respect to its parent p as df_p/dp; df_s/dp is meant.
    order = graph.leading_to(result)[::-1]
    for node in order:
        if node is not result:
            gradients[node] = _gradient(node, result, gradients, jacobians, multiply)
        for position in range(len(node.parents)):
            jacobians[Edge(node, position)] = node.jacobian(position)

    for node in graph.topological_order():
        if node not in gradients:
            gradients[node] = np.zeros((result.size, node.size))
    return BackwardPass(order, gradients, jacobians, multiply.count)


def _gradient(
    node: Node,
    result: Node,
    gradients: dict[Node, Array],
    jacobians: dict[Edge, Jacobian],
    multiply: CountedProduct,
) -> Array:
    """Return the sum of dJ/du du/dc over those children u of the node c that have a gradient."""
    gradient = np.zeros((result.size, node.size))
    for edge in node.uses:
        if edge.child is result:  # no need to multiply by dJ/dJ = I
            gradient = gradient + as_array(jacobians[edge])
        elif edge.child in gradients:
            gradient = gradient + multiply(gradients[edge.child], jacobians[edge])
    return gradient
