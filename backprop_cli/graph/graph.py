"""The computational graph: its nodes, in an order in which they can be computed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from backprop_cli.errors import GraphError
from backprop_cli.graph.jacobians import Array
from backprop_cli.graph.nodes import Edge, Kind, Node
from backprop_cli.graph.operation import Operation
from backprop_cli.graph.operations import OPERATIONS


class Graph:
    """A directed acyclic graph of quantities, each computed from its parents.

    Building the graph computes nothing. `forward_pass` computes the values.

    Examples
    --------
    >>> graph = Graph()
    >>> x = graph.input("x", 3.0)
    >>> y = graph.apply("square", x, name="y")
    >>> h = graph.apply("sin", y, name="h")
    >>> graph.result.formula
    'h = sin(y)'
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._result: Node | None = None

    def input(self, name: str, value: ArrayLike) -> Node:
        """Add a start node for given data: a scalar, a vector or a matrix."""
        return self._add_start(name, "input", value)

    def parameter(self, name: str, value: ArrayLike) -> Node:
        """Add a start node for a parameter to be learnt: a scalar, a vector or a matrix."""
        return self._add_start(name, "parameter", value)

    def apply(self, operation: str | Operation, *parents: Node, name: str) -> Node:
        """Add the node ``name = operation(parents)``.

        Parameters
        ----------
        operation
            A key of `OPERATIONS`, or an operation that need not be in that table.
        *parents
            Nodes of this graph, in the order of the operation's arguments.
        name
            The name of the new node. It must not be taken.

        Raises
        ------
        GraphError
            If the name is taken, the operation is unknown or takes another number of parents, or
            a parent belongs to another graph.
        """
        if isinstance(operation, str):
            if operation not in OPERATIONS:
                raise GraphError(
                    f"node '{name}': unknown operation '{operation}'"
                    + nearest_name(operation, OPERATIONS)
                )
            operation = OPERATIONS[operation]
        for parent in parents:
            self.check_owns(parent)
        operation.check_parents(name, [parent.name for parent in parents])
        node = self._add(Node(name, "computed", operation, parents))
        for position, parent in enumerate(parents):
            parent.uses.append(Edge(node, position))
        return node

    def set_value(self, node: Node, value: ArrayLike) -> None:
        """Give a start node a new value.

        All computed values are discarded, so that no outdated value can be read.
        """
        self.check_owns(node)
        if node.operation is not None:
            raise GraphError(f"node '{node.name}' is computed: only start nodes can be set")
        node._value = _start_value(node.name, value)
        for other in self._nodes.values():
            if other.operation is not None:
                other._value = None

    @property
    def result(self) -> Node:
        """The output of the graph: the chosen node, or else the only node without children.

        Raises
        ------
        GraphError
            If none was chosen and there is not exactly one node without children.
        """
        if self._result is not None:
            return self._result
        sinks = [node for node in self._nodes.values() if not node.uses]
        if len(sinks) != 1:
            names = ", ".join(f"'{node.name}'" for node in sinks) or "none"
            raise GraphError(f"choose the result, graph.result = node; without children: {names}")
        return sinks[0]

    @result.setter
    def result(self, node: Node) -> None:
        self.check_owns(node)
        self._result = node

    def topological_order(self) -> list[Node]:
        """Return all nodes, each after its parents.

        This is the order in which they were added, because a node can only be made from nodes
        that exist already. For the same reason a graph has no cycles.
        """
        return list(self._nodes.values())

    def leading_to(self, result: Node) -> list[Node]:
        """Return the node and all nodes that it depends on, in topological order."""
        leading = {result}
        to_visit = [result]
        while to_visit:
            for parent in to_visit.pop().parents:
                if parent not in leading:
                    leading.add(parent)
                    to_visit.append(parent)
        return [node for node in self.topological_order() if node in leading]

    def check_owns(self, node: Node) -> None:
        """Raise a GraphError if the node belongs to another graph."""
        if self._nodes.get(node.name) is not node:
            raise GraphError(f"node '{node.name}' belongs to another graph")

    def __getitem__(self, name: str) -> Node:
        if name not in self._nodes:
            raise GraphError(f"the graph has no node '{name}'" + nearest_name(name, self._nodes))
        return self._nodes[name]

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __repr__(self) -> str:
        return f"<Graph of {len(self._nodes)} nodes>"

    def _add_start(self, name: str, kind: Kind, value: ArrayLike) -> Node:
        return self._add(Node(name, kind, _value=_start_value(name, value)))

    def _add(self, node: Node) -> Node:
        if node.name in self._nodes:
            raise GraphError(f"there are two nodes '{node.name}': names must be unique")
        self._nodes[node.name] = node
        return node


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the most similar known name, if there is one."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def _start_value(name: str, value: ArrayLike) -> Array:
    """Return a read-only copy as float64, or as complex128 if the value is complex."""
    try:
        array = np.array(value)
        kind = np.complex128 if np.iscomplexobj(array) else np.float64
        array = array.astype(kind, casting="same_kind")  # refuses text and None
    except (TypeError, ValueError) as error:
        raise GraphError(f"node '{name}': its value is not an array of numbers") from error
    if array.ndim > 2:
        raise GraphError(
            f"node '{name}': expected a scalar, a vector or a matrix, got shape {array.shape}"
        )
    array.flags.writeable = False
    return array
