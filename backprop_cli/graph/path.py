"""The path graph h = f_n ∘ ... ∘ f_1: the product of the chain rule, evaluated from either end.

Both orders give the same derivative,

    dh/dx = dy_n/dy_{n-1}  dy_{n-1}/dy_{n-2}  ...  dy_2/dy_1  dy_1/dx,    y_j = f_j(y_{j-1}),

but at different cost. For s = g(f(f(f(x)))) with x in R^d, intermediate vectors of size m and a
scalar s, forward mode takes 2 m^2 d + m d multiplications, and reverse mode 2 m^2 + m d.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backprop_cli.errors import GraphError
from backprop_cli.graph.jacobians import Array, CountedProduct, Jacobian, Structured, as_array


class PathFunction(NamedTuple):
    """A function of one vector (or scalar), and its Jacobian.

    The Jacobian may be a scalar if the function maps a scalar to a scalar, and a vector if the
    function has a single output.
    """

    value: Callable[[Array], ArrayLike]
    jacobian: Callable[[Array], ArrayLike | Structured]


class PathDerivative(NamedTuple):
    """h(x), dh/dx (size of h x size of x), and the number of scalar multiplications."""

    value: Array
    jacobian: Array
    products: int


def path_forward_mode(functions: Sequence[PathFunction], x: ArrayLike) -> PathDerivative:
    """Multiply from the input on: g = df_1/dx, then g = df_j/dy_{j-1} g for j = 2, ..., n.

    After step j, g is dy_j/dx. This takes one pass, and no y_j is stored.

    Parameters
    ----------
    functions
        f_1, ..., f_n, at least one.
    x
        The point at which to differentiate.

    Raises
    ------
    GraphError
        If there are no functions, or the shapes of the Jacobians do not fit.
    """
    _require_some(functions)
    multiply = CountedProduct()
    first, *others = functions
    x = np.asarray(x)
    g, y = _jacobian(first, x), np.asarray(first.value(x))
    for f in others:
        g, y = multiply(_jacobian(f, y), g), np.asarray(f.value(y))
    return PathDerivative(y, as_array(g), multiply.count)


def path_reverse_mode(functions: Sequence[PathFunction], x: ArrayLike) -> PathDerivative:
    """Multiply from the output on: g = df_n/dy_{n-1}, then g = g df_j/dy_{j-1} for j = n-1, ..., 1.

    After step j, g is dy_n/dy_{j-1}. A forward pass comes first, and all y_j are stored. The
    lecture starts from g = 1; the product with it is left out here, as in the lecture's count.

    The parameters and errors are those of `path_forward_mode`.
    """
    _require_some(functions)
    multiply = CountedProduct()
    y = [np.asarray(x)]
    for f in functions:
        y.append(np.asarray(f.value(y[-1])))
    n = len(functions)
    g = _jacobian(functions[n - 1], y[n - 1])
    for j in range(n - 1, 0, -1):
        g = multiply(g, _jacobian(functions[j - 1], y[j - 1]))
    return PathDerivative(y[n], as_array(g), multiply.count)


def _require_some(functions: Sequence[PathFunction]) -> None:
    if not functions:
        raise GraphError("a path graph needs at least one function, got none")


def _jacobian(f: PathFunction, y: Array) -> Jacobian:
    J = f.jacobian(y)
    return J if isinstance(J, Structured) else np.atleast_2d(np.asarray(J))
