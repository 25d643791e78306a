"""Random graphs, against an independent automatic differentiation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import autograd
import autograd.numpy as anp
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from backprop_cli.graph import backward_pass, forward_mode, forward_pass, graph_from_description


def _softmax(s):
    return anp.exp(s) / anp.sum(anp.exp(s))


# name: (shapes of the parents, shape of the node, the function in autograd's terms);
# "v" is a vector (m,), "s" a scalar, "M" a matrix (m, m).
REFERENCE: dict[str, list[tuple[str, str, Callable]]] = {
    "matrix_vector": [("Mv", "v", lambda W, x: anp.dot(W, x))],
    "add": [("vv", "v", lambda x, y: x + y), ("ss", "s", lambda x, y: x + y)],
    "multiply": [("vv", "v", lambda x, y: x * y), ("ss", "s", lambda x, y: x * y)],
    "sin": [("v", "v", anp.sin), ("s", "s", anp.sin)],
    "cos": [("v", "v", anp.cos), ("s", "s", anp.cos)],
    "tanh": [("v", "v", anp.tanh), ("s", "s", anp.tanh)],
    "square": [("v", "v", lambda x: x**2), ("s", "s", lambda x: x**2)],
    "softmax": [("v", "v", _softmax)],
    "dot": [("vv", "s", anp.dot)],
    "sum_of_squares": [("v", "s", lambda x: anp.sum(x**2)), ("M", "s", lambda W: anp.sum(W**2))],
    "regularized": [("sss", "s", lambda l, a, r: l + a * r)],  # noqa: E741 - the lecture's l
    "mean": [("sss", "s", lambda *losses: sum(losses) / len(losses))],
}
RULES = [(name, *rule) for name, rules in REFERENCE.items() for rule in rules]


@dataclass
class RandomGraph:
    starts: dict[str, np.ndarray]
    rows: list[tuple[str, str, list[str]]]
    functions: list
    result: str

    def reference(self, *values):
        """Return the result, computed by autograd's functions from the start values."""
        nodes = dict(zip(self.starts, values, strict=True))
        for (name, _, parents), function in zip(self.rows, self.functions, strict=True):
            nodes[name] = function(*(nodes[parent] for parent in parents))
        return nodes[self.result]


@st.composite
def random_graphs(draw) -> RandomGraph:
    m = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    starts: dict[str, np.ndarray] = {}
    by_shape: dict[str, list[str]] = {"v": [], "s": [], "M": []}
    for kind, shape in (("v", (m,)), ("s", ()), ("M", (m, m))):
        for _ in range(draw(st.integers(1, 2))):
            name = f"{kind}{len(by_shape[kind])}"
            starts[name] = rng.uniform(-1, 1, size=shape)
            by_shape[kind].append(name)

    rows, functions = [], []
    computed: list[str] = []
    for i in range(draw(st.integers(1, 10))):
        # The first one is a scalar, so that there is one to be the result.
        rules = [rule for rule in RULES if rule[2] == "s"] if not computed else RULES
        operation, shapes, kind, function = draw(st.sampled_from(rules))
        name = f"n{i}"
        rows.append((name, operation, [draw(st.sampled_from(by_shape[shape])) for shape in shapes]))
        functions.append(function)
        by_shape[kind].append(name)
        if kind == "s":
            computed.append(name)
    return RandomGraph(starts, rows, functions, draw(st.sampled_from(computed)))


@settings(max_examples=200, deadline=None)
@given(random_graphs())
def test_backward_pass_and_forward_mode_agree_with_autograd(random: RandomGraph) -> None:
    graph = graph_from_description(
        random.rows, inputs=random.starts, parameters={}, result=random.result
    )
    forward_pass(graph)
    assume(all(np.abs(node.value).max() < 50 for node in graph.topological_order()))
    values = list(random.starts.values())
    assert_allclose(graph.result.value, random.reference(*values), rtol=1e-10, atol=1e-10)

    back = backward_pass(graph)
    for i, name in enumerate(random.starts):
        with warnings.catch_warnings():  # autograd warns where the gradient is zero throughout
            warnings.filterwarnings("ignore", "Output seems independent of input")
            expected = np.reshape(autograd.grad(random.reference, i)(*values), (1, -1))
        close = {"rtol": 1e-10, "atol": 1e-10 * max(1.0, np.abs(expected).max())}
        assert_allclose(back.gradients[graph[name]], expected, **close)
        assert_allclose(forward_mode(graph, graph[name]).derivative, expected, **close)
