"""The generic forward pass: the value of every node."""

from __future__ import annotations

from backprop_cli.graph.graph import Graph


def forward_pass(graph: Graph) -> None:
    """Compute the value of every node from its parents', u = f_u(parents of u).

    The lecture's EvaluateGraphFn walks from each start node to its children, recursively, and
    computes a child when all of its parents are (ComputeBranch). In topological order all parents
    of a node are computed when its turn comes, so that one loop does the same, to any depth.

    Can be run again after `Graph.set_value`.

    Raises
    ------
    GraphError
        If shapes do not fit; the node and its parents are named.
    """
    for node in graph.topological_order():
        node.compute()
