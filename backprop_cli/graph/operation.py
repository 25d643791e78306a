"""What an operation of the graph consists of. The operations themselves are in `operations`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backprop_cli.errors import GraphError
from backprop_cli.graph.jacobians import Array, Jacobian

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Derivative:
    """The Jacobian of an operation with respect to one of its parents.

    Attributes
    ----------
    formula : str
        The Jacobian as the lecture writes it, such as ``"diag({u}) − {u} {u}ᵀ"``. ``{u}`` stands
        for the name of the node, ``{0}``, ``{1}``, ... for the names of its parents.
    jacobian : callable
        ``jacobian(u, *parents)`` takes the value of the node and the values of its parents, and
        returns a (size of u) x (size of the parent) Jacobian.
    repeated : bool
        True for the last parent of an operation that takes any number of parents. This derivative
        then serves all further parents too. The position of the parent is passed to ``jacobian``
        as an additional first argument, and ``{i}`` stands for it in the formula.
    """

    formula: str
    jacobian: Callable[..., Jacobian]
    repeated: bool = False


@dataclass(frozen=True)
class Operation:
    """A function u = f(parents), its derivatives, and how to write and describe them.

    Attributes
    ----------
    name : str
        The operation's name; for an operation of the table `OPERATIONS`, its key.
    formula : str
        The formula with the placeholders of `Derivative`, such as ``"{u} = {0} {1}"``. In
        addition, ``{all}`` lists all parents, ``{rest}`` all but the first.
    value : callable
        ``value(*parents)`` computes u. An analytic operation takes complex values too.
    derivatives : tuple of Derivative
        One per parent.
    shapes : str
        In words, the parents' shapes that the operation accepts.
    fits : callable
        ``fits(*shapes)`` says whether the operation accepts parents of these shapes.
    analytic : bool
        False if the function has kinks, so that the complex step does not apply.
    description : str
        A sentence for a reader about what the operation computes.
    """

    name: str
    formula: str
    value: Callable[..., Array]
    derivatives: tuple[Derivative, ...]
    shapes: str
    fits: Callable[..., bool]
    analytic: bool = True
    description: str = "Computed from its parents."

    def check_parents(self, node: str, parents: Sequence[str]) -> None:
        """Raise a GraphError if the operation does not take this number of parents."""
        minimum = len(self.derivatives)
        repeated = self.derivatives[-1].repeated
        if len(parents) == minimum or (repeated and len(parents) > minimum):
            return
        raise GraphError(
            f"node '{node}': {self.name} takes {'at least ' if repeated else ''}{minimum} "
            f"parent{'s' if minimum > 1 else ''}, got {len(parents)}: {_listing(parents) or 'none'}"
        )

    def evaluate(self, node: str, names: Sequence[str], values: Sequence[Array]) -> Array:
        """Return the value of a node, computed from its parents' values.

        Raises
        ------
        GraphError
            If the parents' shapes do not fit. The message names the node and its parents.
        """
        self.check_shapes(node, names, values)
        return np.asarray(self.value(*values))

    def check_shapes(self, node: str, names: Sequence[str], values: Sequence[Array]) -> None:
        """Raise a GraphError if the operation does not take values of these shapes."""
        if not self.fits(*(value.shape for value in values)):
            found = ", ".join(
                f"'{name}' {value.shape}" for name, value in zip(names, values, strict=True)
            )
            raise GraphError(
                f"node '{node}': shapes of its parents do not fit: {found}; "
                f"{self.name} takes {self.shapes}"
            )

    def jacobian(self, position: int, u: Array, parents: Sequence[Array]) -> Jacobian:
        """Return the Jacobian with respect to the parent at a position, at these values."""
        derivative = self._derivative(position)
        if derivative.repeated:
            return derivative.jacobian(position, u, *parents)
        return derivative.jacobian(u, *parents)

    def formula_text(self, node: str, parents: Sequence[str]) -> str:
        """Return the formula with the names of these nodes, such as ``z = W x``."""
        return self.formula.format(
            *parents, u=node, all=_listing(parents), rest=_listing(parents[1:])
        )

    def jacobian_text(self, position: int, node: str, parents: Sequence[str]) -> str:
        """Return the Jacobian's formula with the names of these nodes, such as ``I_C ⊗ xᵀ``."""
        return self._derivative(position).formula.format(
            *parents, u=node, i=position, rest=_listing(parents[1:])
        )

    def _derivative(self, position: int) -> Derivative:
        return self.derivatives[min(position, len(self.derivatives) - 1)]


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, …, {names[-1]}"
