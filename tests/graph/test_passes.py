"""Forward pass, backward pass and forward mode: closed forms, and what they are made for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from backprop_cli.errors import GraphError
from backprop_cli.graph import (
    Edge,
    Graph,
    Kronecker,
    backward_pass,
    forward_mode,
    forward_pass,
    graph_from_description,
)


def test_sine_of_a_square() -> None:
    graph = Graph()
    x = graph.input("x", 0.7)
    graph.apply("sin", graph.apply("square", x, name="y"), name="h")
    for value in (0.7, -1.9, 3.0):
        graph.set_value(x, value)
        forward_pass(graph)
        expected = [[2 * value * math.cos(value**2)]]
        assert_allclose(graph.result.value, math.sin(value**2), rtol=1e-15)
        assert_allclose(backward_pass(graph).gradients[x], expected, rtol=1e-14)
        assert_allclose(forward_mode(graph, x).derivative, expected, rtol=1e-14)


def test_a_node_used_twice_by_one_child() -> None:
    graph = Graph()
    x = graph.input("x", [3.0, -2.0])
    y = graph.apply("multiply", x, x, name="y")
    graph.apply("dot", y, x, name="cube")
    forward_pass(graph)
    back = backward_pass(graph)
    assert_allclose(back.gradients[x], [[27.0, 12.0]])  # 3 x^2
    assert_allclose(forward_mode(graph, x).derivative, [[27.0, 12.0]])
    assert Edge(y, 0) in back.jacobians
    assert Edge(y, 1) in back.jacobians


def test_several_children_add_up() -> None:
    # s = sin(x) cos(x) exp(x): the product rule, term by term.
    graph = Graph()
    x = graph.input("x", 0.4)
    a, b, c = (graph.apply(name, x, name=name) for name in ("sin", "cos", "exp"))
    graph.apply("multiply", graph.apply("multiply", a, b, name="ab"), c, name="s")
    forward_pass(graph)
    sin, cos, exp = math.sin(0.4), math.cos(0.4), math.exp(0.4)
    expected = cos * cos * exp - sin * sin * exp + sin * cos * exp
    assert_allclose(backward_pass(graph).gradients[x], [[expected]], rtol=1e-14)


def test_softmax_and_cross_entropy_give_minus_y_minus_p() -> None:
    graph = Graph()
    s, y = graph.input("s", [1.0, -2.0, 0.5]), graph.input("y", [0.2, 0.7, 0.1])
    p = graph.apply("softmax", s, name="p")
    graph.apply("cross_entropy", p, y, name="l")
    forward_pass(graph)
    exponentials = np.exp([1.0, -2.0, 0.5])
    expected = -(y.value - exponentials / exponentials.sum())
    assert_allclose(backward_pass(graph).gradients[s], [expected], atol=1e-15)


def test_the_order_is_complete_before_parents_are_visited() -> None:
    # J depends on x by a short way and a long one; the lecture's walk would go on from x by the
    # short way first.
    rows = [
        ("x", "sin", ["start"]),
        ("a", "cos", ["x"]),
        ("b", "exp", ["a"]),
        ("J", "add", ["x", "b"]),
    ]
    graph = graph_from_description(rows, inputs={"start": 0.3}, parameters={})
    forward_pass(graph)
    back = backward_pass(graph)
    place = {node: i for i, node in enumerate(back.order)}
    assert back.order[0] is graph.result
    for node in back.order:
        assert all(place[child] < place[node] for child in node.children)
    x = math.sin(0.3)
    expected = (1 - math.sin(x) * math.exp(math.cos(x))) * math.cos(0.3)
    assert_allclose(back.gradients[graph["start"]], [[expected]], rtol=1e-14)


def test_dead_branches_have_no_gradient_and_no_jacobians() -> None:
    graph = Graph()
    x = graph.input("x", [1.0, 2.0])
    unused = graph.input("unused", [1.0, 2.0, 3.0])
    dead = graph.apply("exp", x, name="dead")
    result = graph.apply("sum_of_squares", x, name="r")
    graph.result = result
    forward_pass(graph)
    back = backward_pass(graph)
    assert back.order == [result, x]
    assert set(back.jacobians) == {Edge(result, 0)}
    assert_array_equal(back.gradients[x], [[2.0, 4.0]])
    assert_array_equal(back.gradients[dead], [[0.0, 0.0]])
    assert_array_equal(back.gradients[unused], [[0.0, 0.0, 0.0]])
    assert_array_equal(forward_mode(graph, unused).derivative, [[0.0, 0.0, 0.0]])
    assert back.products == 0
    assert list(forward_mode(graph, x).tangents) == [result]


def test_nodes_behind_the_result_do_not_count() -> None:
    graph = Graph()
    x = graph.input("x", 3.0)
    y = graph.apply("square", x, name="y")
    behind = graph.apply("exp", y, name="behind")
    graph.result = y
    forward_pass(graph)
    back = backward_pass(graph)
    assert_array_equal(back.gradients[x], [[6.0]])
    assert_array_equal(back.gradients[behind], [[0.0]])


def test_twice_is_as_once() -> None:
    graph = Graph()
    x = graph.input("x", [0.3, -1.0])
    graph.apply("dot", graph.apply("tanh", x, name="t"), x, name="J")
    forward_pass(graph)
    first, second = backward_pass(graph), backward_pass(graph)
    forward_pass(graph)
    third = backward_pass(graph)
    for again in (second, third):
        assert again.order == first.order
        assert again.products == first.products
        for node, gradient in first.gradients.items():
            assert_array_equal(again.gradients[node], gradient)


def test_a_result_that_is_a_start_node() -> None:
    graph = Graph()
    x = graph.input("x", 3.0)
    forward_pass(graph)
    assert_array_equal(backward_pass(graph).gradients[x], [[1.0]])
    assert_array_equal(forward_mode(graph, x).derivative, [[1.0]])


def test_the_backward_pass_needs_values_and_takes_a_vector() -> None:
    graph = Graph()
    x = graph.input("x", [1.0, 2.0])
    graph.apply("sin", x, name="y")
    with pytest.raises(GraphError, match="no value yet"):
        backward_pass(graph)
    forward_pass(graph)
    assert_allclose(backward_pass(graph).gradients[x], np.diag(np.cos([1.0, 2.0])))


def test_forward_mode_takes_a_vector_as_result() -> None:
    W, x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.array([0.1, -0.2, 0.3])
    graph = Graph()
    x_node = graph.input("x", x)
    W_node = graph.parameter("W", W)
    graph.apply("tanh", graph.apply("matrix_vector", W_node, x_node, name="z"), name="u")
    forward_pass(graph)
    slope = np.diag(1 - np.tanh(W @ x) ** 2)
    assert_allclose(forward_mode(graph, x_node).derivative, slope @ W, rtol=1e-13)
    by_W = slope @ np.kron(np.eye(2), x)
    assert_allclose(forward_mode(graph, W_node).derivative, by_W, atol=1e-15)
    some = forward_mode(graph, W_node, [4, 0])
    assert_allclose(some.derivative, by_W[:, [4, 0]], atol=1e-15)
    assert some.products == 2 * 2 * 2  # diag(...) times two columns; z takes none


@pytest.mark.parametrize("coordinate", [-1, 3])
def test_forward_mode_by_an_entry_that_is_not_there(coordinate: int) -> None:
    graph = Graph()
    x = graph.input("x", [1.0, 2.0, 3.0])
    forward_pass(graph)
    with pytest.raises(GraphError, match=f"'x' has 3 entries, none with index {coordinate}"):
        forward_mode(graph, x, [coordinate])


def test_forward_mode_by_a_node_of_another_graph() -> None:
    graph = Graph()
    graph.input("x", 1.0)
    with pytest.raises(GraphError, match="'x' belongs to another graph"):
        forward_mode(graph, Graph().input("x", 1.0))


def test_weights_of_a_thousand_classes() -> None:
    C, d = 1000, 3072  # a full Jacobian would take 24 GB
    rng = np.random.default_rng(0)
    graph = Graph()
    W = graph.parameter("W", 0.01 * rng.normal(size=(C, d)))
    x = graph.input("x", rng.normal(size=d))
    y = graph.input("y", np.eye(C)[7])
    z = graph.apply("matrix_vector", W, x, name="z")
    p = graph.apply("softmax", z, name="p")
    graph.apply("cross_entropy", p, y, name="l")
    forward_pass(graph)
    back = backward_pass(graph)
    assert isinstance(back.jacobians[Edge(z, 0)], Kronecker)
    expected = np.outer(p.value - y.value, x.value)
    assert_allclose(back.gradients[W].reshape(C, d), expected, atol=1e-14)
    some = [0, 7 * d + 5, C * d - 1]
    columns = forward_mode(graph, W, some).derivative
    assert_allclose(columns, [expected.ravel()[some]], atol=1e-14)


def test_a_chain_of_ten_thousand_nodes() -> None:
    n = 10_000
    rows = [(f"y{i}", "sin", [f"y{i - 1}" if i > 1 else "x"]) for i in range(1, n + 1)]
    graph = graph_from_description(rows, inputs={"x": 1.2}, parameters={})
    forward_pass(graph)
    value, derivative = 1.2, 1.0
    for _ in range(n):
        value, derivative = math.sin(value), derivative * math.cos(value)
    x = graph["x"]
    back = backward_pass(graph)
    assert_allclose(graph.result.value, value, rtol=1e-12)
    assert_allclose(back.gradients[x], [[derivative]], rtol=1e-11)
    assert_allclose(forward_mode(graph, x).derivative, [[derivative]], rtol=1e-11)
    assert back.products == n - 1
    assert len(back.order) == n + 1
    assert repr(graph.result) == "<Node y10000 = sin(y9999) (computed, shape ())>"
    assert len(repr(back)) > n
