"""The second opinions: a mistake in any one of them is found, and named."""

import dataclasses

import numpy as np
import pytest

from backprop_cli.gradcheck import DERIVATIONS
from backprop_cli.graph import operations
from tests.gradcheck.checked import ENGINES, descent_for, rows_of

BASE = "data: {format: synthetic, examples: 200, size: 5, classes: %s}\n"
CASES = {
    "softmax": (4, "l2: 0.1\nlabel_smoothing: 0.1"),
    "weighted": (4, "training: {class_weights: [1, 2, 3, 0.5]}"),
    "svm": (4, "l2: 0.1\nloss: multiclass_svm"),
    "one score": (2, "l2: 0.1\nmodel: {outputs: 1}"),
    "one score, svm": (2, "loss: multiclass_svm\nmodel: {outputs: 1}"),
}
GRAPH = {"graph, backward pass", "graph, forward mode"}


def made(name, n=8, engine=("numpy", "float64")):
    classes, text = CASES[name]
    return descent_for(BASE % classes + text, engine, n)


@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("name", CASES)
def test_all_derivations_agree(name, n):
    rows = rows_of(made(name, n))
    assert all(row.agrees and row.checked for row in rows), rows
    analytic = "svm" not in name
    of_gradients = [row for row in rows if row.derivation in DERIVATIONS]
    assert {row.derivation for row in of_gradients} == set(DERIVATIONS) - (
        set() if analytic else {"complex step"}
    )
    exact = [row for row in rows if row.derivation in GRAPH | {"loop over examples"}]
    assert max(row.relative_error for row in exact) < 1e-11


# The operations that lead from W and b to each cost, and the position of a parent that counts.
STEPS = {
    "softmax": [("matrix_vector", 0), ("add", 0), ("add", 1), ("softmax", 0),
                ("cross_entropy", 0), ("mean", 0), ("sum_of_squares", 0), ("regularized", 0),
                ("regularized", 2)],
    "weighted": [("weighted_mean", 1)],
    "svm": [("multiclass_svm", 0)],
    "one score": [("two_scores", 0)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "operation", "position"), [(n, o, p) for n, steps in STEPS.items() for o, p in steps]
)
def test_a_wrong_jacobian_of_any_operation_is_found(monkeypatch, name, operation, position):
    right = operations.OPERATIONS[operation]
    derivative = right.derivatives[position]

    def wrong(*values):
        J = derivative.jacobian(*values)
        return 1.0005 * (J if isinstance(J, np.ndarray) else J.toarray())

    derivatives = list(right.derivatives)
    derivatives[position] = dataclasses.replace(derivative, jacobian=wrong)
    monkeypatch.setitem(
        operations.OPERATIONS, operation, dataclasses.replace(right, derivatives=tuple(derivatives))
    )
    rows = rows_of(made(name))
    wrong_rows = [row for row in rows if not row.agrees]
    assert {row.derivation for row in wrong_rows} == GRAPH
    assert all(row.worst is not None for row in wrong_rows)


@pytest.mark.parametrize("operation", ["cross_entropy", "multiclass_svm"])
def test_a_wrong_loss_in_the_graph_is_found(monkeypatch, operation):
    right = operations.OPERATIONS[operation]
    monkeypatch.setitem(
        operations.OPERATIONS,
        operation,
        dataclasses.replace(right, value=lambda *parents: 1.0005 * right.value(*parents)),
    )
    name = "svm" if operation == "multiclass_svm" else "softmax"
    rows = [row for row in rows_of(made(name)) if not row.agrees]
    found = [(row.parameter, row.derivation) for row in rows]
    assert found == [(value, "graph, forward pass") for value in ("L", "J")]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("derivation", ["loop over examples", "complex step"])
def test_a_wrong_derivation_is_named_with_its_coordinate(monkeypatch, derivation, engine):
    right = DERIVATIONS[derivation]

    def wrong(problem, parameter, coordinates):
        values, uncertainty = right.derive(problem, parameter, coordinates)
        values = values.copy()
        values[coordinates == 2] *= 1.05
        return values, uncertainty

    monkeypatch.setitem(DERIVATIONS, derivation, dataclasses.replace(right, derive=wrong))
    rows = [row for row in rows_of(made("softmax", engine=engine)) if not row.agrees]
    assert {row.derivation for row in rows} == {derivation}
    assert {(row.parameter, row.worst) for row in rows} == {("W", (0, 2)), ("b", (2,))}


def test_the_graph_steps_aside_where_a_probability_underflows():
    """Scores of thousands: log(p) of the lecture is infinite, log-softmax of the engine is not."""
    descent = descent_for(BASE % 4 + "l2: 0.1")
    descent.state.W *= 1e5
    rows = {(row.cost, row.parameter, row.derivation): row for row in rows_of(descent, 5)}
    backward, loop = (rows["L", "W", way] for way in ("graph, backward pass", "loop over examples"))
    assert (backward.checked, backward.apart) == (0, 300)
    assert loop.checked == 300
    assert loop.agrees
    assert rows["L", "L", "graph, forward pass"].checked == 0
    assert rows["L", "L", "definition"].checked == 1
