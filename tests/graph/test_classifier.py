"""The classifiers' graphs, against autograd and the lecture's gradients."""

from __future__ import annotations

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from backprop_cli.errors import GraphError
from backprop_cli.graph import (
    Operation,
    backward_pass,
    classifier_graph,
    forward_mode,
    forward_pass,
)

from .jacobian_check import is_right
from .squared_hinge import SQUARED_HINGE

SOFTMAX = (("p", "softmax"), ("l", "cross_entropy"))
SVM = (("l", "multiclass_svm"),)
SQUARED_SVM = (("l", SQUARED_HINGE),)
LOSSES: dict[str, tuple[tuple[str, str | Operation], ...]] = {
    "softmax": SOFTMAX,
    "SVM": SVM,
    "squared SVM": SQUARED_SVM,
}

C, d = 4, 5
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def reference_cost(W, b, X, Y, loss, l2, weights):
    """Return the cost of the lecture's mini-batch, all examples at once."""
    S = anp.dot(X, W.T) + b
    if W.shape[0] == 1:
        S = anp.concatenate([-S / 2, S / 2], axis=1)
    if loss == "softmax":
        losses = anp.log(anp.sum(anp.exp(S), axis=1)) - anp.sum(Y * S, axis=1)
    else:
        margins = anp.maximum(0, S - anp.sum(Y * S, axis=1, keepdims=True) + 1)
        losses = anp.sum((1 - Y) * (margins if loss == "SVM" else margins**2), axis=1)
    return anp.mean(weights * losses) + l2 * anp.sum(W**2)


def problem(n: int, outputs: int, *, soft: bool = False) -> Arrays:
    rng = np.random.default_rng(100 * n + outputs)
    n_classes = max(outputs, 2)
    W, b = rng.normal(size=(outputs, d)), rng.normal(size=outputs)
    X = rng.normal(size=(n, d))
    Y = (
        rng.dirichlet(np.ones(n_classes), n)
        if soft
        else np.eye(n_classes)[np.arange(n) % n_classes]
    )
    return W, b, X, Y


def assert_graph_is_the_cost(W, b, X, Y, loss: str, l2: float, weights) -> None:
    graph = classifier_graph(W, b, X, Y, loss=LOSSES[loss], l2=l2, example_weights=weights)
    forward_pass(graph)
    v = np.ones(len(X)) if weights is None else weights
    arguments = (W, b, X, Y, loss, l2, v)
    assert_allclose(graph.result.value, reference_cost(*arguments), rtol=1e-12)
    gradients = backward_pass(graph).gradients
    for i, name in enumerate("Wb"):
        expected = np.ravel(autograd.grad(reference_cost, i)(*arguments))
        assert_allclose(gradients[graph[name]], [expected], rtol=1e-11, atol=1e-13)
        tangent = forward_mode(graph, graph[name]).derivative
        assert_allclose(tangent, [expected], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("outputs", [C, 1])
@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_cost_and_gradients(loss: str, n: int, outputs: int, l2: float, weighted: bool) -> None:
    weights = np.linspace(0.5, 2.0, n) if weighted else None
    assert_graph_is_the_cost(*problem(n, outputs), loss, l2, weights)


@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("outputs", [C, 1])
@pytest.mark.parametrize("loss", LOSSES)
def test_soft_targets(n: int, outputs: int, loss: str) -> None:
    assert_graph_is_the_cost(*problem(n, outputs, soft=True), loss, 0.1, None)


def test_the_lectures_gradients_of_one_example() -> None:
    W, b, X, Y = problem(1, C)
    graph = classifier_graph(W, b, X, Y, loss=SOFTMAX, l2=0.2)
    forward_pass(graph)
    exponentials = np.exp(W @ X[0] + b)
    g = -(Y - exponentials / exponentials.sum())  # g = -(y - p)^T, 1 x C
    gradients = backward_pass(graph).gradients
    assert_allclose(gradients[graph["s"]], g, atol=1e-14)
    assert_allclose(gradients[graph["b"]], g, atol=1e-14)
    assert_allclose(gradients[graph["W"]].reshape(C, d), g.T @ X + 2 * 0.2 * W, atol=1e-14)


def test_the_lectures_graph_has_the_lectures_names() -> None:
    W, b, X, Y = problem(1, C)
    graph = classifier_graph(W, b, X, Y, loss=SOFTMAX, l2=0.2)
    formulas = {node.name: node.formula for node in graph.topological_order()}
    assert {name for name, formula in formulas.items() if name == formula} == {
        "W", "b", "x", "y", "lambda",
    }  # fmt: skip
    assert formulas["z"] == "z = W x"
    assert formulas["s"] == "s = z + b"
    assert formulas["p"] == "p = exp(s) / (1ᵀ exp(s))"
    assert formulas["l"] == "l = −yᵀ log(p)"
    assert formulas["r"] == "r = Σ Wᵢⱼ²"
    assert formulas["J"] == "J = l + lambda r"
    assert graph.result is graph["J"]
    assert {node.name for node in graph.topological_order() if node.kind == "parameter"} == {
        "W",
        "b",
    }


def test_names_of_a_mini_batch() -> None:
    graph = classifier_graph(*problem(2, 1), loss=SVM, l2=0.0, example_weights=[1, 2])
    names = [node.name for node in graph.topological_order()]
    assert names == [
        "W", "b",
        "x1", "y1", "z1", "s1", "t1", "l1",
        "x2", "y2", "z2", "s2", "t2", "l2",
        "v", "L",
    ]  # fmt: skip
    assert graph.result.name == "L"
    assert set(graph["W"].children) == {graph["z1"], graph["z2"]}


def test_without_l2_one_example_ends_in_its_loss() -> None:
    graph = classifier_graph(*problem(1, C), loss=SVM, l2=0.0)
    assert graph.result.name == "l"
    assert "r" not in graph
    assert "p" not in graph
    graph.apply("exp", graph["l"], name="likelihood")  # a look aside does not change the result
    assert graph.result.name == "l"


def test_the_complex_step_goes_through_the_whole_graph() -> None:
    W, b, X, Y = problem(3, C)
    graph = classifier_graph(W, b, X, Y, loss=SOFTMAX, l2=0.2)
    forward_pass(graph)
    expected = backward_pass(graph).gradients[graph["W"]][0, 7]
    stepped = W.astype(complex)
    stepped.ravel()[7] += 1e-100j
    graph.set_value(graph["W"], stepped)
    forward_pass(graph)
    assert_allclose(graph.result.value.imag / 1e-100, expected, rtol=1e-13)


@pytest.mark.parametrize(("y", "position"), [(y, i) for y in ("hard", "soft") for i in (0, 1)])
def test_the_jacobians_of_the_squared_hinge(y: str, position: int) -> None:
    s = np.array([0.1, 2.0, 1.4, -3.0])
    target = {"hard": np.eye(C)[1], "soft": np.array([0.1, 0.6, 0.2, 0.1])}[y]
    assert is_right(SQUARED_HINGE, [s, target], position)


def test_a_loss_of_several_steps() -> None:
    # s -> u = tanh(s) -> v = u^2 -> l = v^T y: dl/ds = 2 u (1 - u^2) y.
    W, b, X, Y = problem(1, C, soft=True)
    steps = (("u", "tanh"), ("v", "square"), ("l", "dot"))
    graph = classifier_graph(W, b, X, Y, loss=steps, l2=0.0)
    forward_pass(graph)
    u = np.tanh(W @ X[0] + b)
    gradient = backward_pass(graph).gradients[graph["s"]]
    assert_allclose(gradient, [2 * u * (1 - u**2) * Y[0]], rtol=1e-13)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            (("l", "multiclas_svm"),),
            "'l': unknown .*'multiclas_svm'; did you mean 'multiclass_svm'",
        ),
        ((("l", "softmax"),), "'l': softmax takes 1 parent, got 2: s, y"),
        ((("p", "cross_entropy"), ("l", "cross_entropy")), "'p': cross_entropy takes 2 parents"),
        ((("s", "softmax"), ("l", "cross_entropy")), "two nodes 's'"),
        ((), "at least one step"),
    ],
)
def test_steps_that_are_wrong(loss: tuple, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        classifier_graph(*problem(1, C), loss=loss, l2=0.0)


def test_shapes_that_are_none() -> None:
    W, b, X, Y = problem(3, C)
    for wrong in ((W, b, X[0], Y), (W, b, X, Y[:2]), (W, b, X[:0], Y[:0]), (W[0], b, X, Y)):
        with pytest.raises(GraphError, match="expected"):
            classifier_graph(*wrong, loss=SVM, l2=0.0)


@pytest.mark.parametrize("node", ["z1", "s1", "l1"])
def test_shapes_that_do_not_fit(node: str) -> None:
    W, b, X, Y = problem(3, C)
    wrong = {"z1": (W, b, X[:, 1:], Y), "s1": (W, b[1:], X, Y), "l1": (W, b, X, Y[:, 1:])}
    graph = classifier_graph(*wrong[node], loss=SVM, l2=0.0)
    with pytest.raises(GraphError, match=f"'{node}': shapes of its parents do not fit"):
        forward_pass(graph)
