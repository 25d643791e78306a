"""Building a graph, and every way in which that fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from backprop_cli.errors import GraphError
from backprop_cli.graph import Graph, forward_pass, graph_from_description

SCORES = [("z", "matrix_vector", ["W", "x"]), ("s", "add", ["z", "b"])]
START: dict[str, Any] = {
    "inputs": {"x": [1.0, 2.0]},
    "parameters": {"W": [[1.0, 0.0], [3.0, 4.0]], "b": [5.0, 6.0]},
}


def test_nodes_know_their_neighbours() -> None:
    graph = Graph()
    x = graph.input("x", [1.0, 2.0])
    square = graph.apply("multiply", x, x, name="square")
    total = graph.apply("add", square, x, name="total")
    assert [node.kind for node in graph.topological_order()] == ["input", "computed", "computed"]
    assert square.parents == (x, x)
    assert x.children == (square, total)
    assert [(edge.child, edge.position, edge.parent) for edge in x.uses] == [
        (square, 0, x),
        (square, 1, x),
        (total, 1, x),
    ]
    assert graph.result is total
    assert graph["square"] is square
    assert "square" in graph
    assert "circle" not in graph


def test_start_values_are_copies_in_double_precision() -> None:
    given = np.array([1, 2], dtype=np.float32)
    x = Graph().input("x", given)
    given[0] = 7
    assert x.value.dtype == np.float64
    assert_array_equal(x.value, [1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        x.value[0] = 3.0
    graph = Graph()
    x = graph.input("x", 1 + 2j)
    assert x.value.dtype == np.complex128
    graph.set_value(x, given)
    given[0] = 8
    assert x.value.dtype == np.float64
    assert_array_equal(x.value, [7.0, 2.0])


def test_a_changed_start_value_takes_the_old_results_with_it() -> None:
    graph = Graph()
    x = graph.input("x", 3.0)
    y = graph.apply("square", x, name="y")
    with pytest.raises(GraphError, match="'y' has no value yet"):
        _ = y.value
    forward_pass(graph)
    assert y.value == 9.0
    graph.set_value(x, 5.0)
    with pytest.raises(GraphError, match="'y' has no value yet"):
        _ = y.value
    forward_pass(graph)
    assert y.value == 25.0


def test_only_start_nodes_can_be_set() -> None:
    graph = Graph()
    y = graph.apply("square", graph.input("x", 3.0), name="y")
    with pytest.raises(GraphError, match="'y' is computed"):
        graph.set_value(y, 1.0)


def test_the_result_is_the_only_sink_or_chosen() -> None:
    graph = Graph()
    x = graph.input("x", 3.0)
    y = graph.apply("sin", x, name="y")
    z = graph.apply("cos", x, name="z")
    with pytest.raises(GraphError, match="'y', 'z'"):
        _ = graph.result
    graph.result = y
    assert graph.result is y
    assert graph.leading_to(z) == [x, z]
    with pytest.raises(GraphError, match="none"):
        _ = Graph().result


def test_repr_says_what_a_node_is() -> None:
    graph = Graph()
    x = graph.input("x", [1.0, 2.0])
    y = graph.apply("sin", x, name="y")
    assert repr(x) == "<Node x (input, shape (2,))>"
    assert repr(y) == "<Node y = sin(x) (computed, no value)>"
    assert repr(graph) == "<Graph of 2 nodes>"


def test_a_node_of_another_graph() -> None:
    graph, stranger = Graph(), Graph().input("x", 1.0)
    graph.input("x", 1.0)
    with pytest.raises(GraphError, match="'x' belongs to another graph"):
        graph.apply("sin", stranger, name="y")
    with pytest.raises(GraphError, match="'x' belongs to another graph"):
        graph.set_value(stranger, 2.0)
    with pytest.raises(GraphError, match="'x' belongs to another graph"):
        graph.result = stranger


@pytest.mark.parametrize("value", [np.zeros((2, 2, 2)), "three", [[1.0], [2.0, 3.0]], None])
def test_a_value_that_is_no_array_of_numbers(value: Any) -> None:
    with pytest.raises(GraphError, match="'x'"):
        Graph().input("x", value)


def test_a_name_that_is_not_there() -> None:
    graph = Graph()
    graph.input("lambda", 1.0)
    with pytest.raises(GraphError, match="no node 'lamda'; did you mean 'lambda'"):
        graph["lamda"]


def test_a_graph_from_its_description() -> None:
    graph = graph_from_description(SCORES, **START)
    forward_pass(graph)
    assert graph.result.name == "s"
    assert_array_equal(graph.result.value, [1.0 + 5.0, 11.0 + 6.0])
    assert [graph[name].kind for name in "xWz"] == ["input", "parameter", "computed"]
    assert graph_from_description(SCORES, **START, result="z").result.name == "z"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "sin", ["a"])], "cycle: a -> a"),
        ([("a", "add", ["c", "x"]), ("b", "sin", ["a"]), ("c", "sin", ["b"])], "cycle: .*a -> b"),
        ([("a", "sin", ["c"]), ("c", "sin", ["x"])], "'a' uses 'c' before it is defined"),
        ([("a", "sin", ["q"])], "'a' uses 'q', which is never defined"),
        ([("a", "add", ["x", "bb"])], "'bb', which is never defined; did you mean 'b'"),
        ([("a", "sofmax", ["x"])], "'a': unknown operation 'sofmax'; did you mean 'softmax'"),
        ([("a", "zzzz", ["x"])], "'a': unknown operation 'zzzz'$"),
        ([("a", "sin", ["x"]), ("a", "cos", ["x"])], "two nodes 'a'"),
        ([("W", "sin", ["x"])], "two nodes 'W'"),
        ([("a", "add", ["x"])], "'a': add takes 2 parents, got 1: x"),
        ([("a", "sin", ["x", "b"])], "'a': sin takes 1 parent, got 2: x, b"),
        ([("a", "weighted_mean", ["x"])], "'a': weighted_mean takes at least 2 parents, got 1: x"),
        ([("a", "mean", [])], "'a': mean takes at least 1 parent, got 0: none"),
    ],
)
def test_descriptions_that_are_wrong(rows: list, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        graph_from_description(rows, **START)


def test_a_cycle_of_ten_thousand_nodes_is_found_and_shortened() -> None:
    rows = [(f"n{i}", "sin", [f"n{(i - 1) % 10_000}"]) for i in range(10_000)]
    with pytest.raises(GraphError, match="cycle") as error:
        graph_from_description(rows, inputs={}, parameters={})
    assert len(str(error.value)) < 120


def test_shapes_that_do_not_fit() -> None:
    graph = Graph()
    W, x = graph.parameter("W", np.ones((2, 3))), graph.input("x", np.ones(4))
    graph.apply("matrix_vector", W, x, name="z")
    with pytest.raises(GraphError) as error:
        forward_pass(graph)
    assert str(error.value) == (
        "node 'z': shapes of its parents do not fit: 'W' (2, 3), 'x' (4,); "
        "matrix_vector takes (C, d) and (d,)"
    )


def test_a_start_node_has_no_jacobian() -> None:
    with pytest.raises(GraphError, match="'x' is a start node"):
        Graph().input("x", 1.0).jacobian(0)
