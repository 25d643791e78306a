"""The second opinions: a mistake in any one of them is found, and named."""

import dataclasses

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.formats import load_dataset
from backprop_cli.gradcheck import DERIVATIONS, compare
from backprop_cli.graph import operations
from backprop_cli.problem import make_problem

BASE = "data: {format: synthetic, examples: 200, size: 5, classes: %s}\n"
CASES = {
    "softmax": (4, "l2: 0.1\nlabel_smoothing: 0.1"),
    "weighted": (4, "training: {class_weights: [1, 2, 3, 0.5]}"),
    "svm": (4, "l2: 0.1\nloss: multiclass_svm"),
    "one score": (2, "l2: 0.1\nmodel: {outputs: 1}"),
    "one score, svm": (2, "loss: multiclass_svm\nmodel: {outputs: 1}"),
}
GRAPH = {"graph, backward pass", "graph, forward mode"}


def problem_for(name, n=8):
    classes, text = CASES[name]
    config = check_config(BASE % classes + text, name)
    dataset = load_dataset(config.data, "float64")
    return make_problem(config, dataset, dataset.train.rows[:n])


@pytest.mark.parametrize("n", [1, 8])
@pytest.mark.parametrize("name", CASES)
def test_all_derivations_agree(name, n):
    rows = list(compare(problem_for(name, n), None, 0))
    assert all(row.agrees and row.checked for row in rows), rows
    analytic = "svm" not in name
    assert {row.derivation for row in rows} == set(DERIVATIONS) - (
        set() if analytic else {"complex step"}
    )
    exact = [row for row in rows if row.derivation in GRAPH | {"loop over examples"}]
    assert max(row.relative_error for row in exact) < 1e-12


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
    rows = list(compare(problem_for(name), None, 0))
    wrong_rows = [row for row in rows if not row.agrees]
    assert {row.derivation for row in wrong_rows} == GRAPH
    assert all(row.worst is not None for row in wrong_rows)


@pytest.mark.parametrize("derivation", ["loop over examples", "complex step"])
def test_a_wrong_derivation_is_named_with_its_coordinate(monkeypatch, derivation):
    right = DERIVATIONS[derivation]

    def wrong(problem, parameter, coordinates):
        values, uncertainty = right.derive(problem, parameter, coordinates)
        values = values.copy()
        values[coordinates == 2] *= 1.0005
        return values, uncertainty

    monkeypatch.setitem(DERIVATIONS, derivation, dataclasses.replace(right, derive=wrong))
    rows = [row for row in compare(problem_for("softmax"), None, 0) if not row.agrees]
    assert {row.derivation for row in rows} == {derivation}
    assert {(row.parameter, row.worst) for row in rows} == {("W", (0, 2)), ("b", (2,))}


def test_the_graph_steps_aside_where_a_probability_underflows():
    """Scores of thousands: log(p) of the lecture is infinite, log-softmax of the engine is not."""
    problem = problem_for("softmax")
    problem = dataclasses.replace(problem, W=1e4 * problem.W, Y=np.eye(4)[[0, 1] * 4].T)
    rows = {(row.parameter, row.derivation): row for row in compare(problem, 5, 0)}
    assert rows["W", "graph, backward pass"].apart == 5
    assert rows["W", "graph, backward pass"].checked == 0
    assert rows["W", "loop over examples"].checked == 5
    assert rows["W", "loop over examples"].agrees
