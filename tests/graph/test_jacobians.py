"""Jacobians that are stored as a few numbers against full ones, and the counting product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from backprop_cli.errors import GraphError
from backprop_cli.graph import OPERATIONS, CountedProduct, Kronecker, Structured

sizes = st.integers(1, 6)


@settings(deadline=None)
@given(C=sizes, d=sizes, k=sizes, seed=st.integers(0, 2**32 - 1))
def test_kronecker_is_numpys(C: int, d: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, G, T = rng.normal(size=d), rng.normal(size=(k, C)), rng.normal(size=(C * d, k))
    J, full = Kronecker(C, x), np.kron(np.eye(C), x)
    assert J.shape == full.shape
    assert J.n_counted == np.count_nonzero(full)
    assert_array_equal(J.toarray(), full)
    assert_allclose(G @ J, G @ full, atol=1e-13)
    assert_allclose(J @ T, full @ T, atol=1e-13)
    chosen = rng.integers(0, C * d, size=k)
    assert_array_equal(J.columns(chosen), full[:, chosen])


@settings(deadline=None)
@given(softmax=st.booleans(), n=sizes, k=sizes, seed=st.integers(0, 2**32 - 1))
def test_structured_jacobians_are_the_full_ones(softmax: bool, n: int, k: int, seed: int) -> None:
    """diag(p) - p p^T and diag(2 x), as NumPy has them."""
    rng = np.random.default_rng(seed)
    x, G, T = rng.normal(0, 3, n), rng.normal(size=(k, n)), rng.normal(size=(n, k))
    operation = OPERATIONS["softmax" if softmax else "square"]
    u = np.asarray(operation.value(x))
    J, full = operation.jacobian(0, u, [x]), np.diag(u) - np.outer(u, u)
    if not softmax:
        full = np.diag(2 * x)
    assert isinstance(J, Structured)
    assert J.shape == full.shape
    assert_array_equal(J.toarray(), full)
    assert_allclose(G @ J, G @ full, atol=1e-13)
    assert_allclose(J @ T, full @ T, atol=1e-13)
    chosen = rng.integers(0, n, size=k)
    assert_allclose(J.columns(chosen), full[:, chosen], atol=1e-15)
    assert_allclose(J.norm(), np.linalg.norm(full), atol=1e-15)
    multiply = CountedProduct()
    multiply(G, J)
    assert multiply.count == k * n * n  # as the lecture counts


def test_a_gradient_times_kronecker_is_the_outer_product_row_by_row() -> None:
    g, x = np.array([[2.0, -1.0]]), np.array([1.0, 10.0, 100.0])
    assert_array_equal(g @ Kronecker(2, x), [[2.0, 20.0, 200.0, -1.0, -10.0, -100.0]])


def test_large_kronecker_is_never_built() -> None:
    J = Kronecker(1000, np.ones(3072))  # 24 GB if it were
    multiply = CountedProduct()
    gradient = multiply(np.ones((1, 1000)), J)
    assert gradient.shape == (1, 3_072_000)
    assert multiply.count == 1000 * 3072


def test_products_are_counted_as_they_are_done() -> None:
    multiply = CountedProduct()
    multiply(np.ones((2, 3)), np.ones((3, 5)))
    assert multiply.count == 30
    multiply(np.ones((2, 4)), Kronecker(4, np.ones(6)))  # 24 non-zero entries, 2 rows
    assert multiply.count == 30 + 48
    multiply(Kronecker(4, np.ones(6)), np.ones((24, 7)))  # 24 non-zero entries, 7 columns
    assert multiply.count == 30 + 48 + 168


def test_kronecker_times_kronecker() -> None:
    A, B = Kronecker(2, np.array([1.0, 2.0])), Kronecker(4, np.array([3.0, 5.0, 7.0]))
    assert_array_equal(CountedProduct()(A, B), A.toarray() @ B.toarray())


def test_jacobians_that_do_not_follow_each_other() -> None:
    with pytest.raises(GraphError, match=r"\(2, 3\) and \(2, 3\)"):
        CountedProduct()(np.ones((2, 3)), np.ones((2, 3)))
