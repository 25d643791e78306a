"""What an operation of the graph consists of; the operations themselves are in `operations`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from backprop_cli.errors import GraphError
from backprop_cli.graph.jacobians import Array, Jacobian

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Derivative:
    """The Jacobian of an operation by one of its parents.

    Attributes
    ----------
    formula : str
        As the lecture writes it. ``{u}`` stands for the name of the node, ``{0}``, ``{1}`` ... for
        those of its parents: ``"diag({u}) − {u} {u}ᵀ"``.
    jacobian : callable
        ``jacobian(u, *parents)``, of the node's own value and its parents' values: a
        (size of u) x (size of the parent) Jacobian.
    repeated : bool
        True for the last parent of an operation that takes any number of them: this derivative is
        used for each further parent too, ``jacobian`` is told the position of the parent before
        anything else, and ``{i}`` in the formula stands for it.
    """

    formula: str
    jacobian: Callable[..., Jacobian]
    repeated: bool = False


@dataclass(frozen=True)
class Operation:
    """A function u = f(parents), its derivative by each parent, and how to write them down.

    Attributes
    ----------
    name : str
        The key in the table of operations.
    formula : str
        With the stand-ins of `Derivative`: ``"{u} = {0} {1}"``. ``{all}`` lists all parents,
        ``{rest}`` all but the first.
    value : callable
        ``value(*parents)``. An analytic operation takes complex values too.
    derivatives : tuple of Derivative
        One a parent.
    shapes : str
        The shapes of parents that the operation takes, in words.
    fits : callable
        ``fits(*shapes)`` is true for these shapes.
    analytic : bool
        False where the function has kinks, so that the complex step does not apply.
    """

    name: str
    formula: str
    value: Callable[..., Array]
    derivatives: tuple[Derivative, ...]
    shapes: str
    fits: Callable[..., bool]
    analytic: bool = True

    def check_parents(self, node: str, parents: Sequence[str]) -> None:
        """Raise a GraphError unless the operation takes this number of parents."""
        least = len(self.derivatives)
        repeated = self.derivatives[-1].repeated
        if len(parents) == least or (repeated and len(parents) > least):
            return
        raise GraphError(
            f"node '{node}': {self.name} takes {'at least ' if repeated else ''}{least} "
            f"parent{'s' if least > 1 else ''}, got {len(parents)}: {_listing(parents) or 'none'}"
        )

    def evaluate(self, node: str, names: Sequence[str], values: Sequence[Array]) -> Array:
        """Return the value of a node from its parents' values.

        Raises
        ------
        GraphError
            If the parents' shapes do not fit; the node and the parents are named.
        """
        if not self.fits(*(value.shape for value in values)):
            found = ", ".join(
                f"'{name}' {value.shape}" for name, value in zip(names, values, strict=True)
            )
            raise GraphError(
                f"node '{node}': shapes of its parents do not fit: {found}; "
                f"{self.name} takes {self.shapes}"
            )
        return np.asarray(self.value(*values))

    def jacobian(self, position: int, u: Array, parents: Sequence[Array]) -> Jacobian:
        """Return the Jacobian by the parent at a position, from the values of all."""
        derivative = self._derivative(position)
        if derivative.repeated:
            return derivative.jacobian(position, u, *parents)
        return derivative.jacobian(u, *parents)

    def formula_text(self, node: str, parents: Sequence[str]) -> str:
        """Return the formula with the names of these nodes: ``z = W x``."""
        return self.formula.format(
            *parents, u=node, all=_listing(parents), rest=_listing(parents[1:])
        )

    def jacobian_text(self, position: int, node: str, parents: Sequence[str]) -> str:
        """Return the Jacobian's formula with the names of these nodes: ``I_C ⊗ xᵀ``."""
        return self._derivative(position).formula.format(
            *parents, u=node, i=position, rest=_listing(parents[1:])
        )

    def _derivative(self, position: int) -> Derivative:
        return self.derivatives[min(position, len(self.derivatives) - 1)]


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, …, {names[-1]}"
