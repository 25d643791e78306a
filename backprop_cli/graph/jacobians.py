"""Jacobians, and a product of Jacobians that counts its multiplications.

All are in numerator layout: the Jacobian of a node u with respect to a node c is (size of u) x
(size of c), and a gradient is a Jacobian with a single row. A matrix W counts as the vector vec(W),
which stacks its rows.
"""

from __future__ import annotations

import abc
import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import GraphError

Array: TypeAlias = NDArray[Any]
"""float64, or complex128 when a derivative is taken by the complex step."""


class Structured(abc.ABC):
    """A Jacobian that is stored as a few numbers, because most of a full one follows from them."""

    __array_ufunc__ = None  # so that `array @ structured` calls __rmatmul__ instead of NumPy

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """The shape of the full matrix."""

    @property
    def n_counted(self) -> int:
        """How many multiplications a row of another factor takes, as `CountedProduct` counts."""
        return math.prod(self.shape)

    @abc.abstractmethod
    def __rmatmul__(self, G: Array) -> Array:
        """Return G times this."""

    @abc.abstractmethod
    def __matmul__(self, T: Array) -> Array:
        """Return this times T."""

    @abc.abstractmethod
    def columns(self, coordinates: Array) -> Array:
        """Return only the columns with these k indices."""

    @abc.abstractmethod
    def norm(self) -> float:
        """Return the root of the sum of the squares."""

    @abc.abstractmethod
    def toarray(self) -> Array:
        """Return the full matrix, zeros included."""


class Diagonal(Structured):
    """diag(v), stored as v alone: 10,000 classes take 80 kB in place of 800 MB.

    Parameters
    ----------
    v
        A vector, or a scalar.
    """

    def __init__(self, v: Array) -> None:
        self.v = np.ravel(v)

    @property
    def shape(self) -> tuple[int, int]:
        """The size of v, twice."""
        return self.v.size, self.v.size

    def __rmatmul__(self, G: Array) -> Array:
        """G diag(v): every row of G times v, entry by entry."""
        return np.asarray(G * self.v)

    def __matmul__(self, T: Array) -> Array:
        """diag(v) T: every column of T times v, entry by entry."""
        return np.asarray(self.v[:, None] * T)

    def columns(self, coordinates: Array) -> Array:
        """Return only the columns with these k indices."""
        return _in_rows(coordinates, self.v[coordinates], self.v.size)

    def norm(self) -> float:
        """Return the root of the sum of the squares."""
        return float(np.linalg.norm(self.v))

    def toarray(self) -> Array:
        """Return the full matrix."""
        return np.diag(self.v)


class SoftMaxJacobian(Structured):
    """diag(p) - p p^T, stored as p alone.

    Parameters
    ----------
    p
        C probabilities.
    """

    def __init__(self, p: Array) -> None:
        self.p = p

    @property
    def shape(self) -> tuple[int, int]:
        """C x C."""
        return self.p.size, self.p.size

    def __rmatmul__(self, G: Array) -> Array:
        """G (diag(p) - p p^T): a row g gives the products g_k p_k, minus g p times p^T."""
        return np.asarray(G * self.p - (G @ self.p)[:, None] * self.p)

    def __matmul__(self, T: Array) -> Array:
        """(diag(p) - p p^T) T: a column t gives the products p_k t_k, minus p^T t times p."""
        return np.asarray(self.p[:, None] * (T - self.p @ T))

    def columns(self, coordinates: Array) -> Array:
        """Return only the columns with these k indices."""
        chosen = self.p[coordinates]
        columns: Array = _in_rows(coordinates, chosen, self.p.size) - np.outer(self.p, chosen)
        return columns

    def norm(self) -> float:
        """Return the root of the sum of the squares."""
        diagonal = self.p * (1 - self.p)
        squares = np.sort(self.p**2)  # every one times all smaller ones, twice: nothing cancels
        others = 2 * float(squares[1:] @ np.cumsum(squares)[:-1])
        return math.sqrt(float(diagonal @ diagonal) + others)

    def toarray(self) -> Array:
        """Return the full matrix."""
        full: Array = np.diag(self.p) - np.outer(self.p, self.p)
        return full


def _in_rows(rows: Array, values: Array, n_rows: int) -> Array:
    """Return columns of n_rows numbers that are zero but for one each."""
    chosen = np.zeros((n_rows, len(rows)), dtype=values.dtype)
    chosen[rows, np.arange(len(rows))] = values
    return chosen


class Kronecker(Structured):
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

    def __init__(self, C: int, x: Array) -> None:
        self.C, self.x = C, x

    @property
    def shape(self) -> tuple[int, int]:
        """C x C d."""
        return self.C, self.C * self.x.size

    @property
    def n_counted(self) -> int:
        """The number of entries that take part in a product, C d: all others are zero."""
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
        return _in_rows(rows, self.x[entries], self.C)

    def norm(self) -> float:
        """Return the root of the sum of the squares."""
        return math.sqrt(self.C) * float(np.linalg.norm(self.x))

    def toarray(self) -> Array:
        """Return the full C x C d matrix, zeros included."""
        return np.kron(np.eye(self.C), self.x)

    def __repr__(self) -> str:
        return f"Kronecker(I_{self.C} ⊗ xᵀ, x of shape {self.x.shape})"


Jacobian: TypeAlias = Array | Structured


def as_array(J: Jacobian) -> Array:
    """Return J as an ordinary array."""
    return J.toarray() if isinstance(J, Structured) else J


def take_columns(J: Jacobian, coordinates: Array) -> Array:
    """Return the columns of J with these indices."""
    return J.columns(coordinates) if isinstance(J, Structured) else J[:, coordinates]


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
        if isinstance(A, Structured):
            self.count += A.n_counted * B.shape[1]
            return A @ as_array(B)
        self.count += A.shape[0] * (B.n_counted if isinstance(B, Structured) else B.size)
        product: Array = A @ B
        return product
