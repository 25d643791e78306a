"""The path graph in both orders, and what each costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from backprop_cli.errors import GraphError
from backprop_cli.graph import (
    Graph,
    Kronecker,
    PathFunction,
    backward_pass,
    forward_mode,
    forward_pass,
    path_forward_mode,
    path_reverse_mode,
)

SQUARE = PathFunction(lambda x: x**2, lambda x: 2 * x)
SIN = PathFunction(np.sin, np.cos)


def linear(A: np.ndarray) -> PathFunction:
    return PathFunction(lambda x: A @ x, lambda x: A)


@pytest.mark.parametrize("mode", [path_forward_mode, path_reverse_mode])
def test_functions_of_one_number(mode) -> None:
    for x in (0.3, -1.4):
        derivative = mode([SQUARE, SIN], x)
        assert_allclose(derivative.value, math.sin(x * x), rtol=1e-15)
        assert_allclose(derivative.jacobian, [[2 * x * math.cos(x * x)]], rtol=1e-14)
        assert derivative.products == 1


@pytest.mark.parametrize("mode", [path_forward_mode, path_reverse_mode])
def test_functions_of_vectors(mode) -> None:
    rng = np.random.default_rng(1)
    A, B, x = rng.normal(size=(3, 4)), rng.normal(size=(2, 3)), rng.normal(size=4)
    tanh = PathFunction(np.tanh, lambda y: np.diag(1 - np.tanh(y) ** 2))
    derivative = mode([linear(A), tanh, linear(B)], x)
    assert_allclose(derivative.value, B @ np.tanh(A @ x), rtol=1e-14)
    assert_allclose(derivative.jacobian, B @ np.diag(1 - np.tanh(A @ x) ** 2) @ A, rtol=1e-13)


@settings(deadline=None)
@given(m=st.integers(1, 12), d=st.integers(1, 40))
def test_the_products_are_the_lectures(m: int, d: int) -> None:
    # s = g(f(f(f(x)))), f: R^d -> R^m and then R^m -> R^m, g: R^m -> R
    rng = np.random.default_rng(m * 100 + d)
    F1, F2, F3 = rng.normal(size=(m, d)), rng.normal(size=(m, m)), rng.normal(size=(m, m))
    weights, x = rng.normal(size=m), rng.normal(size=d)
    g = PathFunction(lambda z: weights @ z, lambda z: weights)
    functions = [linear(F1), linear(F2), linear(F3), g]

    forward, reverse = path_forward_mode(functions, x), path_reverse_mode(functions, x)
    assert forward.products == 2 * m**2 * d + m * d
    assert reverse.products == 2 * m**2 + m * d
    assert forward.jacobian.shape == reverse.jacobian.shape == (1, d)
    expected = weights @ F3 @ F2 @ F1
    assert_allclose(forward.jacobian[0], expected, rtol=1e-9, atol=1e-10)
    assert_allclose(reverse.jacobian[0], expected, rtol=1e-9, atol=1e-10)

    # The passes over any graph, on this path, do the same.
    graph = Graph()
    x_node = graph.input("x", x)
    z = x_node
    for i, F in enumerate([F1, F2, F3], start=1):
        z = graph.apply("matrix_vector", graph.parameter(f"F{i}", F), z, name=f"z{i}")
    graph.apply("dot", graph.parameter("weights", weights), z, name="s")
    forward_pass(graph)
    assert forward_mode(graph, x_node).products == forward.products
    by_F2, by_F3 = m * m, m * m  # reverse mode finds the derivatives by all start nodes
    assert backward_pass(graph).products == reverse.products + by_F2 + by_F3 + m * d


@pytest.mark.parametrize("mode", [path_forward_mode, path_reverse_mode])
def test_a_kronecker_jacobian_on_the_path(mode) -> None:
    x, A = np.array([1.0, -2.0, 0.5]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    product = PathFunction(lambda w: w.reshape(2, 3) @ x, lambda w: Kronecker(2, x))
    W = np.arange(6.0)
    assert_allclose(mode([product], W).jacobian, np.kron(np.eye(2), x))
    assert_allclose(mode([product, linear(A)], W).jacobian, A @ np.kron(np.eye(2), x))


@pytest.mark.parametrize("mode", [path_forward_mode, path_reverse_mode])
def test_paths_that_are_none(mode) -> None:
    with pytest.raises(GraphError, match="at least one function"):
        mode([], 1.0)
    wrong = PathFunction(lambda x: x, lambda x: np.ones((2, 5)))
    with pytest.raises(GraphError, match="cannot be multiplied"):
        mode([linear(np.ones((2, 2))), wrong, linear(np.ones((2, 2)))], np.ones(2))
