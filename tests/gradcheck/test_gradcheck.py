"""The checker is checked: right gradients pass, a gradient that is 0.05 % off fails."""

import dataclasses

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.engine import BatchEngine
from backprop_cli.formats import load_dataset
from backprop_cli.gradcheck import compare
from backprop_cli.gradcheck.numeric import centred_differences
from backprop_cli.problem import Problem, make_problem

BASE = "data: {format: synthetic, examples: 200, size: 6, classes: 4}\n"
SETTINGS = {
    "softmax": "",
    "softmax with l2": "l2: 0.1",
    "smoothed": "label_smoothing: 0.2",
    "weighted": "training: {class_weights: balanced}",
    "svm": "loss: multiclass_svm",
    "svm with l2": "loss: multiclass_svm\nl2: 0.1",
    "raw pixels": "l2: 0.01",
}


def problem_for(name, n=30):
    config = check_config(BASE + SETTINGS[name], name)
    if name == "raw pixels":
        data = config.data.model_copy(update={"standardize": "none"})
        config = config.model_copy(update={"data": data})
    dataset = load_dataset(config.data, "float64")
    return make_problem(config, dataset, dataset.train.rows[:n])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_right_gradient_passes(name):
    rows = list(compare(problem_for(name), None, 0))
    assert all(row.agrees for row in rows), rows
    assert all(row.checked > 0 for row in rows)
    assert max(row.relative_error for row in rows) < 1e-7
    assert {row.cost for row in rows} == ({"L", "J"} if "l2" in SETTINGS[name] else {"L"})


@pytest.mark.parametrize("initial_std", [1, 30, 1e3, 1e6])
@pytest.mark.parametrize("name", ["softmax with l2", "svm with l2"])
def test_digits_that_large_scores_cost_a_difference_are_not_held_against_the_gradient(
    name, initial_std
):
    problem = problem_for(name)
    problem = dataclasses.replace(problem, W=initial_std * problem.W / problem.W.std())
    rows = list(compare(problem, None, 0))
    assert all(row.agrees for row in rows), rows
    assert all(row.checked > 0 for row in rows if row.derivation == "loop over examples")
    if initial_std == 1:
        assert all(row.checked > 3 * row.apart for row in rows), rows


@pytest.mark.parametrize("parameter", ["dW", "db"])
@pytest.mark.parametrize("name", ["softmax", "svm with l2"])
def test_a_gradient_off_by_a_two_thousandth_fails(monkeypatch, name, parameter):
    right = BatchEngine.loss_gradient

    def wrong(self, *args, **kwargs):
        losses = right(self, *args, **kwargs)
        array = getattr(self, parameter)
        array *= 1.0005
        return losses

    problem = problem_for(name)
    monkeypatch.setattr(BatchEngine, "loss_gradient", wrong)
    failed = {row.parameter for row in compare(problem, None, 0) if not row.agrees}
    assert failed == {parameter[1:]}


def test_the_worst_coordinate_is_named(monkeypatch):
    right = BatchEngine.loss_gradient

    def wrong(self, *args, **kwargs):
        losses = right(self, *args, **kwargs)
        self.dW[0, 2, 17] += 1e-3
        return losses

    problem = problem_for("softmax")
    monkeypatch.setattr(BatchEngine, "loss_gradient", wrong)
    row = next(iter(compare(problem, None, 0)))
    assert row.worst == (2, 17)
    assert row.engine_value - row.other_value == pytest.approx(1e-3, rel=1e-6)


def test_kinks_are_set_apart():
    """One feature, two classes, s = (w, 0), the second true: the only margin is w + 1."""
    coordinates = np.array([0])
    for w, is_kink, slope in ((-1.0, True, None), (-1.0 + 1e-6, True, None), (-0.9, False, 1.0),
                              (-1.1, False, 0.0)):  # fmt: skip
        problem = Problem(
            W=np.array([[w], [0.0]]),
            b=np.zeros(2),
            rows=np.ones((1, 1)),
            Y=np.array([[0.0], [1.0]]),
            example_weights=np.ones(1),
            loss="multiclass_svm",
            l2=0.0,
        )
        derivative, uncertainty = centred_differences(problem, "W", coordinates)
        assert np.isinf(uncertainty[0]) == is_kink
        if slope is not None:
            assert derivative[0] == pytest.approx(slope, abs=1e-9)


def test_samples_are_drawn_from_every_parameter():
    rows = list(compare(problem_for("softmax"), 7, 0))
    assert {row.parameter: row.checked for row in rows} == {"W": 7, "b": 4}
