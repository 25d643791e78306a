"""The lecture's recursions, ComputeBranch and BackOp, replayed call by call.

The passes of this package visit each node once, in topological order. The recursions come to some
nodes too early, when not all that they need is there, and to some more than once. Nothing is
computed here: what matters is which calls are made.
"""

from __future__ import annotations

from typing import NamedTuple

from backprop_cli.graph.graph import Graph
from backprop_cli.graph.nodes import Node

MAX_CALLS = 500
"""BackOp makes a call for every path from the result, and there may be very many."""

DONE, EARLY, AGAIN = "done", "too early", "again"


class Call(NamedTuple):
    """A node is come to.

    Attributes
    ----------
    node, via
        The node, and the one from which it is come to; None for the first.
    outcome
        DONE, EARLY or AGAIN.
    missing
        The nodes that were needed and not done, if it was too early.
    depth
        Of the recursion, from 0.
    """

    node: Node
    via: Node | None
    outcome: str
    missing: tuple[Node, ...]
    depth: int


def compute_branch_calls(graph: Graph) -> list[Call]:
    """Return in which order ComputeBranch tries the nodes; a child is computed, or it is not."""
    computed = {node for node in graph.topological_order() if node.operation is None}
    starts = [node for node in graph.topological_order() if node in computed]
    calls: list[Call] = []
    to_visit = [(child, start, 0) for start in reversed(starts) for child in start.children[::-1]]
    while to_visit and len(calls) < MAX_CALLS:
        node, via, depth = to_visit.pop()
        missing = tuple(parent for parent in node.parents if parent not in computed)
        if node in computed:
            calls.append(Call(node, via, AGAIN, (), depth))
        elif missing:
            calls.append(Call(node, via, EARLY, tuple(dict.fromkeys(missing)), depth))
        else:
            computed.add(node)
            calls.append(Call(node, via, DONE, (), depth))
            to_visit += [(child, node, depth + 1) for child in node.children[::-1]]
    return calls


def back_op_calls(graph: Graph) -> list[Call]:
    """Return in which order BackOp comes to the nodes.

    It goes on to the parents in any case, also of a node whose gradient is not complete, and of one
    that it came to before.
    """
    done: set[Node] = set()
    calls: list[Call] = []
    leading = set(graph.leading_to(graph.result))
    to_visit: list[tuple[Node, Node | None, int]] = [(graph.result, None, 0)]
    while to_visit and len(calls) < MAX_CALLS:
        node, via, depth = to_visit.pop()
        children = [c for c in node.children if c in leading and node is not graph.result]
        missing = tuple(child for child in children if child not in done)
        if missing:
            calls.append(Call(node, via, EARLY, missing, depth))
        else:
            calls.append(Call(node, via, AGAIN if node in done else DONE, (), depth))
            done.add(node)
        to_visit += [(parent, node, depth + 1) for parent in node.parents[::-1]]
    return calls
