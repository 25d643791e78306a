"""The generic forward pass: the value of every node."""

from __future__ import annotations

from backprop_cli.graph.graph import Graph


def forward_pass(graph: Graph) -> None:
    """Compute the value of every node u from the values of its parents, u = f_u(parents of u).

    The lecture's EvaluateGraphFn goes from each start node to its children, recursively, and
    computes a child as soon as all of its parents are computed (ComputeBranch). In topological
    order the parents of a node always come before it, so one loop gives the same values, and the
    depth of the graph is not limited by the recursion limit.

    It can be run again after `Graph.set_value`.

    Raises
    ------
    GraphError
        If shapes do not fit. The message names the node and its parents.
    """
    for node in graph.topological_order():
        node.compute()
