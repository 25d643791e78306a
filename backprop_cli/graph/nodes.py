"""A node of the computational graph, and the edges between nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from backprop_cli.errors import GraphError
from backprop_cli.graph.jacobians import Array, Jacobian
from backprop_cli.graph.operation import Operation

Kind = Literal["input", "parameter", "computed"]


class Edge(NamedTuple):
    """The edge from a child to its parent at one position.

    The position matters: ``u = x ⊙ x`` has two edges between the same two nodes.
    """

    child: Node
    position: int

    @property
    def parent(self) -> Node:
        """The node at the other end."""
        return self.child.parents[self.position]


@dataclass(eq=False, repr=False)
class Node:
    """One quantity of the graph: a start node, or a node computed from its parents.

    Nodes are made by a `Graph` and belong to it. A node is equal only to itself.

    Attributes
    ----------
    name : str
        Unique in the graph.
    kind : {"input", "parameter", "computed"}
        Inputs and parameters are the start nodes. Parameters are what training learns.
    operation : Operation or None
        f in u = f(parents); None for a start node.
    parents : tuple of Node
        The operation's arguments. A node may occur twice.
    uses : list of Edge
        The edges from the children to this node.
    """

    name: str
    kind: Kind
    operation: Operation | None = None
    parents: tuple[Node, ...] = ()
    uses: list[Edge] = field(default_factory=list)
    _value: Array | None = None
    _inputs: list[Array] = field(default_factory=list)  # the parents' values, once it is computed

    @property
    def children(self) -> tuple[Node, ...]:
        """The nodes that are computed from this one, without repetition."""
        return tuple(dict.fromkeys(edge.child for edge in self.uses))

    @property
    def value(self) -> Array:
        """The value: a scalar (), a vector (m,) or a matrix (C, d).

        Raises
        ------
        GraphError
            If the forward pass has not been run.
        """
        if self._value is None:
            raise GraphError(f"node '{self.name}' has no value yet: run forward_pass(graph) first")
        return self._value

    @property
    def size(self) -> int:
        """The number of entries of the value: m for a vector, C d for a matrix."""
        return self.value.size

    @property
    def formula(self) -> str:
        """How the node is computed, such as ``z = W x``. For a start node, its name."""
        if self.operation is None:
            return self.name
        return self.operation.formula_text(self.name, self._parent_names())

    def compute(self) -> None:
        """Compute the value from the parents' values. A start node keeps its value.

        Raises
        ------
        GraphError
            If the parents' shapes do not fit the operation, or a parent has no value yet.
        """
        if self.operation is not None:
            self._inputs = [parent.value for parent in self.parents]
            self._value = self.operation.evaluate(self.name, self._parent_names(), self._inputs)

    def jacobian(self, position: int) -> Jacobian:
        """Return the Jacobian with respect to the parent at a position, at the current values."""
        return self._operation().jacobian(position, self.value, self._inputs)

    def jacobian_formula(self, position: int) -> str:
        """Return the formula of that Jacobian, such as ``I_C ⊗ xᵀ``."""
        return self._operation().jacobian_text(position, self.name, self._parent_names())

    def _operation(self) -> Operation:
        if self.operation is None:
            raise GraphError(f"node '{self.name}' is a start node: it has no parents")
        return self.operation

    def _parent_names(self) -> list[str]:
        return [parent.name for parent in self.parents]

    def __repr__(self) -> str:
        shape = "no value" if self._value is None else f"shape {self._value.shape}"
        return f"<Node {self.formula} ({self.kind}, {shape})>"
