"""The lecture's recursions and its two modes, step by step, by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from backprop_cli.graph import (
    back_op_calls,
    backward_pass,
    both_modes,
    classifier_graph,
    compute_branch_calls,
    forward_pass,
    graph_from_expression,
    path_from,
)
from backprop_cli.graph.recursion import AGAIN, DONE, EARLY, MAX_CALLS


def the_lectures_graph():
    W, b = np.ones((2, 3)), np.zeros(2)
    loss = (("p", "softmax"), ("l", "cross_entropy"))
    return classifier_graph(W, b, np.ones((1, 3)), [[1.0, 0.0]], loss=loss, l2=0.1)


def shown(calls):
    return [(call.node.name, call.outcome) for call in calls]


def test_compute_branch_on_the_lectures_graph():
    """W leads to z and all the way to J, which waits for r; r then completes it."""
    found = shown(compute_branch_calls(the_lectures_graph()))
    assert found[:7] == [
        ("z", DONE), ("s", DONE), ("p", DONE), ("l", DONE), ("J", EARLY), ("r", DONE), ("J", DONE),
    ]  # fmt: skip
    assert {outcome for _, outcome in found[7:]} == {AGAIN}
    assert [name for name, _ in found[7:]] == ["s", "z", "l", "J"]  # from b, x, y, lambda


def test_back_op_on_the_lectures_graph():
    """W is come to from z before r has a gradient, and again from r."""
    calls = back_op_calls(the_lectures_graph())
    assert shown(calls) == [
        ("J", DONE), ("l", DONE), ("p", DONE), ("s", DONE), ("z", DONE), ("W", EARLY), ("x", DONE),
        ("b", DONE), ("y", DONE), ("lambda", DONE), ("r", DONE), ("W", DONE),
    ]  # fmt: skip
    early = next(call for call in calls if call.outcome == EARLY)
    assert [node.name for node in early.missing] == ["r"]


def test_back_op_comes_to_a_shared_node_once_for_every_path():
    """Twenty squares as products x x: 2^k paths lead to the k-th, and the replay ends."""
    text = (
        "a1 = x x; " + "; ".join(f"a{i} = a{i - 1} a{i - 1}" for i in range(2, 21)) + "; sin(a20)"
    )
    calls = back_op_calls(graph_from_expression(text, {"x": 1.0}))
    assert len(calls) == MAX_CALLS
    three = graph_from_expression("a = x x; b = a a; sin(b)", {"x": 1.0})
    assert [c.node.name for c in back_op_calls(three)].count("x") == 4


@pytest.mark.parametrize(("m", "d"), [(3, 7), (4, 2), (1, 1)])
def test_the_lectures_count_of_products(m, d):
    rng = np.random.default_rng(0)
    values = {
        "W1": rng.normal(size=(m, d)), "x": rng.normal(size=d), "W2": rng.normal(size=(m, m)),
        "W3": rng.normal(size=(m, m)), "w": rng.normal(size=(1, m)),
    }  # fmt: skip
    graph = graph_from_expression("w (W3 (W2 (W1 x)))", values)
    modes = both_modes(path_from(graph, graph["x"]))
    assert sum(step.products for step in modes.forward) == 2 * m**2 * d + m * d
    assert sum(step.products for step in modes.reverse) == 2 * m**2 + m * d
    expected = values["w"] @ values["W3"] @ values["W2"] @ values["W1"]
    assert_allclose(modes.forward[-1].derivative, expected, rtol=1e-12)
    assert_allclose(modes.reverse[-1].derivative, expected, rtol=1e-12)


def test_both_modes_on_a_composition():
    graph = graph_from_expression("exp(sin(x^2))", {"x": 0.7})
    modes = both_modes(path_from(graph, graph["x"]))
    x = 0.7
    forward = [2 * x, 2 * x * np.cos(x**2), 2 * x * np.cos(x**2) * np.exp(np.sin(x**2))]
    assert_allclose([step.derivative.item() for step in modes.forward], forward, rtol=1e-14)
    e = np.exp(np.sin(x**2))
    reverse = [e, e * np.cos(x**2), e * np.cos(x**2) * 2 * x]
    assert_allclose([step.derivative.item() for step in modes.reverse], reverse, rtol=1e-14)


def test_what_is_no_path():
    graph = graph_from_expression("x sin(x)", {"x": 1.0})
    assert path_from(graph, graph["x"]) is None
    graph = the_lectures_graph()
    forward_pass(graph)
    assert path_from(graph, graph["W"]) is None
    path = path_from(graph, graph["x"])
    assert [edge.child.name for edge in path] == ["z", "s", "p", "l", "J"]
    expected = backward_pass(graph).gradients[graph["x"]]
    assert_allclose(both_modes(path).forward[-1].derivative, expected, rtol=1e-12, atol=1e-16)
