"""Every operation of the table: value, Jacobians, formulas, shapes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import log_softmax, softmax

from backprop_cli.errors import GraphError
from backprop_cli.graph import (
    OPERATIONS,
    Derivative,
    Graph,
    Jacobian,
    Kronecker,
    Operation,
    as_array,
    backward_pass,
    forward_pass,
)

from .jacobian_check import is_right

VECTOR = [0.4, -1.3, 0.9]
OTHER = [1.7, 0.6, -0.8]
POSITIVE = [0.2, 0.5, 0.3]
MATRIX = [[0.3, -0.7, 1.1], [2.0, 0.4, -0.5]]

# A new operation needs its examples here: parents at which no Jacobian is zero throughout, and
# which are no kinks.
EXAMPLES: dict[str, list[list[Any]]] = {
    "matrix_vector": [[MATRIX, VECTOR], [[[0.5, -2.0]], [1.5, 0.7]]],
    "add": [[VECTOR, OTHER], [1.5, -0.4]],
    "two_scores": [[[0.7]]],
    "softmax": [[VECTOR], [[800.0, 801.0, 799.5]]],
    "cross_entropy": [[POSITIVE, [0.0, 1.0, 0.0]], [POSITIVE, [0.1, 0.6, 0.3]]],
    "multiclass_svm": [
        [VECTOR, [0.0, 1.0, 0.0]],
        [[0.1, 2.0, 1.4, -3.0], [0.0, 1.0, 0.0, 0.0]],
        [OTHER, [0.2, 0.5, 0.3]],
    ],
    "mean": [[0.3, -1.2, 2.0], [0.8]],
    "weighted_mean": [[OTHER, 0.3, -1.2, 2.0], [[1.5], 0.8]],
    "sum_of_squares": [[MATRIX], [VECTOR], [1.2]],
    "regularized": [[1.4, 0.1, 2.3]],
    "multiply": [[VECTOR, OTHER], [1.5, -0.4]],
    "dot": [[VECTOR, OTHER]],
    "subtract": [[VECTOR, OTHER], [1.5, -0.4]],
    "divide": [[VECTOR, OTHER], [1.5, -0.4]],
    "scale": [[1.5, VECTOR], [-0.7, MATRIX]],
    "matrix_product": [[MATRIX, [[1.0, 0.4], [-2.0, 0.3], [0.6, 1.1]]]],
    "transpose": [[MATRIX]],
    "sum": [[VECTOR], [MATRIX]],
    "sigmoid": [[VECTOR], [1.3]],
    "square": [[VECTOR], [1.3]],
    "sin": [[VECTOR], [1.3]],
    "cos": [[VECTOR], [1.3]],
    "exp": [[VECTOR], [1.3]],
    "log": [[POSITIVE], [1.3]],
    "tanh": [[VECTOR], [1.3]],
    "relu": [[VECTOR], [1.3]],
}


def examples(name: str) -> list[list[np.ndarray]]:
    return [[np.array(value) for value in parents] for parents in EXAMPLES[name]]


def evaluate(name: str, *values: object) -> np.ndarray:
    return OPERATIONS[name].value(*(np.array(value) for value in values))


def scaled(operation: Operation, index: int, factor: float) -> Operation:
    """Return the operation with one of its derivatives wrong by a factor."""

    def wrong(*args: object) -> Jacobian:
        return factor * as_array(right.jacobian(*args))

    right = operation.derivatives[index]
    derivatives = list(operation.derivatives)
    derivatives[index] = dataclasses.replace(right, jacobian=wrong)
    return dataclasses.replace(operation, derivatives=tuple(derivatives))


@pytest.mark.parametrize("name", OPERATIONS)
def test_jacobians_agree_with_differences_of_the_value(name: str) -> None:
    for values in examples(name):
        for position in range(len(values)):
            assert is_right(OPERATIONS[name], values, position), (position, values)


@pytest.mark.parametrize(
    ("name", "index"),
    [(name, index) for name in OPERATIONS for index in range(len(OPERATIONS[name].derivatives))],
)
def test_a_jacobian_wrong_by_half_a_thousandth_is_found(
    name: str, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPERATIONS, name, scaled(OPERATIONS[name], index, 1.0005))
    for values in examples(name):
        assert not is_right(OPERATIONS[name], values, index)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_table_entry_is_complete(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.name == name
    for values in examples(name):
        assert operation.fits(*(value.shape for value in values))
        parents = [f"v{i}" for i in range(len(values))]
        assert operation.formula_text("u", parents).startswith("u = ")
        for position in range(len(values)):
            assert "{" not in operation.jacobian_text(position, "u", parents)
        assert operation.description.endswith(".")


def test_softmax_is_scipys() -> None:
    for scores in ([1.0, -2.0, 0.5], [1e4, 1e4 + 1, -1e4], [0.3]):
        assert_allclose(evaluate("softmax", scores), softmax(scores), rtol=1e-13)


def test_cross_entropy_is_the_negative_log_softmax() -> None:
    s = np.array([1.0, -2.0, 0.5])
    for y in ([0.0, 0.0, 1.0], [0.2, 0.7, 0.1]):
        expected = -np.dot(y, log_softmax(s))
        assert_allclose(evaluate("cross_entropy", softmax(s), y), expected, rtol=1e-13)


def test_cross_entropy_takes_no_part_in_classes_without_target() -> None:
    p, y = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    operation = OPERATIONS["cross_entropy"]
    assert operation.value(p, y) == 0.0
    jacobian = operation.jacobian(0, np.array(0.0), [p, y])
    assert_allclose(as_array(jacobian), [[0.0, -1.0]])


def test_cross_entropy_of_an_impossible_class_is_infinite() -> None:
    assert evaluate("cross_entropy", [0.0, 1.0], [1.0, 0.0]) == np.inf


def test_multiclass_svm_by_hand() -> None:
    # The course's example: scores 3.2, 5.1, -1.7 and class 0 give 5.1 - 3.2 + 1 = 2.9.
    s, y = np.array([3.2, 5.1, -1.7]), np.array([1.0, 0.0, 0.0])
    operation = OPERATIONS["multiclass_svm"]
    assert_allclose(operation.value(s, y), 2.9, rtol=1e-15)
    jacobian = operation.jacobian(0, np.array(2.9), [s, y])
    assert_allclose(as_array(jacobian), [[-1.0, 1.0, 0.0]])


def test_at_its_kink_the_svm_loss_has_the_subgradient_zero() -> None:
    s, y = np.array([2.0, 1.0]), np.array([1.0, 0.0])  # the margin is exactly met
    jacobian = OPERATIONS["multiclass_svm"].jacobian(0, np.array(0.0), [s, y])
    assert_allclose(as_array(jacobian), [[0.0, 0.0]])


@pytest.mark.parametrize("score", [-2.5, 0.3, 40.0])
def test_two_scores_make_a_sigmoid_and_a_hinge(score: float) -> None:
    t = evaluate("two_scores", [score])
    assert_allclose(evaluate("softmax", t)[1], 1 / (1 + np.exp(-score)), rtol=1e-13)
    assert_allclose(evaluate("multiclass_svm", t, [0.0, 1.0]), max(0.0, 1 - score), atol=1e-15)
    assert_allclose(evaluate("multiclass_svm", t, [1.0, 0.0]), max(0.0, 1 + score), atol=1e-15)


def test_jacobians_of_the_lecture() -> None:
    graph = Graph()
    W = graph.parameter("W", MATRIX)
    x = graph.input("x", VECTOR)
    z = graph.apply("matrix_vector", W, x, name="z")
    p = graph.apply("softmax", z, name="p")
    y = graph.input("y", [1.0, 0.0])
    loss = graph.apply("cross_entropy", p, y, name="l")
    r = graph.apply("sum_of_squares", W, name="r")
    cost = graph.apply("regularized", loss, graph.input("lambda", 0.1), r, name="J")

    formulas = [node.formula for node in (z, p, loss, r, cost)]
    assert formulas == [
        "z = W x",
        "p = exp(z) / (1ᵀ exp(z))",
        "l = −yᵀ log(p)",
        "r = Σ Wᵢⱼ²",
        "J = l + lambda r",
    ]
    assert [z.jacobian_formula(0), z.jacobian_formula(1)] == ["I_C ⊗ xᵀ", "W"]
    assert p.jacobian_formula(0) == "diag(p) − p pᵀ"
    assert loss.jacobian_formula(0) == "−yᵀ diag(p)⁻¹"
    assert r.jacobian_formula(0) == "2 vec(W)ᵀ"
    assert [cost.jacobian_formula(i) for i in range(3)] == ["1", "r", "lambda"]

    forward_pass(graph)
    assert isinstance(z.jacobian(0), Kronecker)
    assert_allclose(as_array(z.jacobian(0)), np.kron(np.eye(2), VECTOR))
    assert_allclose(as_array(z.jacobian(1)), MATRIX)
    assert_allclose(as_array(r.jacobian(0)), [2 * np.ravel(MATRIX)])


def test_formulas_of_operations_with_any_number_of_parents() -> None:
    mean, weighted = OPERATIONS["mean"], OPERATIONS["weighted_mean"]
    losses = [f"l{i}" for i in range(1, 9)]
    assert mean.formula_text("L", losses) == "L = mean(l1, …, l8)"
    assert mean.formula_text("L", losses[:2]) == "L = mean(l1, l2)"
    assert mean.jacobian_text(5, "L", losses) == "1/n"
    assert weighted.formula_text("L", ["v", *losses]) == "L = vᵀ (l1, …, l8) / n"
    assert weighted.jacobian_text(0, "L", ["v", *losses]) == "(l1, …, l8) / n"
    assert weighted.jacobian_text(3, "L", ["v", *losses]) == "v_3 / n"


def test_an_operation_need_not_be_in_the_table() -> None:
    cube = Operation(
        "cube",
        "{u} = {0}³",
        lambda x: x**3,
        (Derivative("diag(3 {0}²)", lambda u, x: np.diag(3 * np.ravel(x) ** 2)),),
        "a scalar or a vector",
        lambda x: len(x) <= 1,
    )
    graph = Graph()
    x = graph.input("x", 2.0)
    y = graph.apply(cube, x, name="y")
    forward_pass(graph)
    assert y.value == 8.0
    assert_allclose(backward_pass(graph).gradients[x], [[12.0]])


MISFITS: dict[str, list[Any]] = {
    "matrix_vector": [MATRIX, [1.0, 2.0]],
    "add": [VECTOR, [1.0]],
    "two_scores": [VECTOR],
    "softmax": [MATRIX],
    "cross_entropy": [VECTOR, [1.0]],
    "multiclass_svm": [VECTOR, [1.0]],
    "mean": [VECTOR, 1.0],
    "weighted_mean": [VECTOR, 1.0],
    "regularized": [1.0, VECTOR, 1.0],
    "multiply": [VECTOR, 1.0],
    "dot": [1.0, 1.0],
    "subtract": [VECTOR, [1.0]],
    "divide": [VECTOR, [1.0]],
    "scale": [VECTOR, 1.0],
    "matrix_product": [MATRIX, MATRIX],
    "transpose": [VECTOR],
    "sum": [1.0],
    "sigmoid": [MATRIX],
    **{name: [MATRIX] for name in ("square", "sin", "cos", "exp", "log", "tanh", "relu")},
}


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"sum_of_squares"}))
def test_shapes_that_do_not_fit_are_named(name: str) -> None:
    graph = Graph()
    parents = [graph.input(f"parent{i}", value) for i, value in enumerate(MISFITS[name])]
    graph.apply(name, *parents, name="outcome")
    with pytest.raises(GraphError) as error:
        forward_pass(graph)
    message = str(error.value)
    assert "'outcome'" in message
    assert name in message
    for parent in parents:
        assert f"'{parent.name}' {parent.value.shape}" in message
