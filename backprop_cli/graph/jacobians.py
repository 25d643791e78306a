"""Jacobians, and a product of Jacobians that counts its multiplications.

All are in numerator layout: the Jacobian of a node u with respect to a node c is (size of u) x
(size of c), and a gradient is a Jacobian with a single row. A matrix W counts as the vector vec(W),
which stacks its rows.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import GraphError

Array: TypeAlias = NDArray[Any]
"""float64, or complex128 when a derivative is taken by the complex step."""


class Kronecker:
    """I_C ⊗ x^T, the Jacobian of z = W x with respect to vec(W), stored as C and x alone.

    It is C x C d, and all but C d of its entries are zero. With C = 1000 and d = 3072 the full
    matrix would take 24 GB; stored this way it takes 3072 numbers.

    Parameters
    ----------
    C
        The number of rows of W.
    x
        A vector of d numbers.
    """

    __array_ufunc__ = None  # so that `array @ kronecker` calls __rmatmul__ instead of NumPy

    def __init__(self, C: int, x: Array) -> None:
        self.C, self.x = C, x

    @property
    def shape(self) -> tuple[int, int]:
        """C x C d."""
        return self.C, self.C * self.x.size

    @property
    def n_nonzero(self) -> int:
        """The number of entries that take part in a product, C d."""
        return self.C * self.x.size

    def __rmatmul__(self, G: Array) -> Array:
        """G (I_C ⊗ x^T), k x C d: a row g of G gives (g_1 x^T, g_2 x^T, ..., g_C x^T)."""
        product: Array = G[:, :, None] * self.x
        return product.reshape(len(G), -1)

    def __matmul__(self, T: Array) -> Array:
        """(I_C ⊗ x^T) T, C x k: each column of T is some vec(M), M being C x d, and gives M x."""
        product: Array = self.x @ T.reshape(self.C, self.x.size, -1)
        return product

    def columns(self, coordinates: Array) -> Array:
        """Return only the columns with these k indices: C x k."""
        rows, entries = np.divmod(coordinates, self.x.size)
        chosen = np.zeros((self.C, len(coordinates)), dtype=self.x.dtype)
        chosen[rows, np.arange(len(coordinates))] = self.x[entries]
        return chosen

    def toarray(self) -> Array:
        """Return the full C x C d matrix, zeros included."""
        return np.kron(np.eye(self.C), self.x)

    def __repr__(self) -> str:
        return f"Kronecker(I_{self.C} ⊗ xᵀ, x of shape {self.x.shape})"


Jacobian: TypeAlias = Array | Kronecker


def as_array(J: Jacobian) -> Array:
    """Return J as an ordinary array."""
    return J.toarray() if isinstance(J, Kronecker) else J


def take_columns(J: Jacobian, coordinates: Array) -> Array:
    """Return the columns of J with these indices."""
    return J.columns(coordinates) if isinstance(J, Kronecker) else J[:, coordinates]


class CountedProduct:
    """Multiplies Jacobians, and counts the scalar multiplications.

    An (a x b) array times a (b x c) array takes a b c multiplications. With a Kronecker factor only
    its C d non-zero entries count, once per row (or column) of the other factor.

    Attributes
    ----------
    count : int
        The number of scalar multiplications so far.
    """

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, A: Jacobian, B: Jacobian) -> Array:
        """Return A B.

        Raises
        ------
        GraphError
            If the number of columns of A is not the number of rows of B.
        """
        if A.shape[1] != B.shape[0]:
            raise GraphError(f"Jacobians of shapes {A.shape} and {B.shape} cannot be multiplied")
        if isinstance(A, Kronecker):
            self.count += A.n_nonzero * B.shape[1]
            return A @ as_array(B)
        self.count += A.shape[0] * (B.n_nonzero if isinstance(B, Kronecker) else B.size)
        product: Array = A @ B
        return product
