"""The checker is checked: right gradients pass, a gradient that is 0.05 % off fails."""

import json
import math

import numpy as np
import pytest

from backprop_cli.engine.numpy_engine import NumpyEngine
from backprop_cli.gradcheck import DERIVATIONS, Checked, Comparison, Problem, compare, reference
from backprop_cli.gradcheck.comparison import Quantity
from backprop_cli.gradcheck.numeric import centred_differences
from backprop_cli.losses import MULTICLASS_SVM
from backprop_cli.sources import from_planes
from tests.gradcheck.checked import ENGINES, descent_for, rows_of

BASE = "data: {format: synthetic, examples: 200, size: 6, classes: 4%s}\n"
SETTINGS = {
    "softmax": "",
    "softmax with l2": "l2: 0.1",
    "smoothed": "label_smoothing: 0.2",
    "weighted": "training: {class_weights: balanced}",
    "mirrored": "training: {horizontal_flips: true}",
    "nesterov": "l2: 0.1\ntraining: {momentum: 0.9, nesterov: true}",
    "svm": "loss: multiclass_svm\ntraining: {momentum: 0.9}",
    "svm with l2": "loss: multiclass_svm\nl2: 0.1",
    "raw pixels": "l2: 0.01",
}
# Far below the tolerances, 1e-9 and 1e-4: a right gradient is not near them.
USUAL_ERRORS = {"float64": 1e-10, "float32": 2e-5}


def made(name, engine=("numpy", "float64"), n=30):
    more = ", standardize: none" if name == "raw pixels" else ""
    return descent_for(BASE % more + SETTINGS[name], engine, n)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_right_gradient_passes(name, engine):
    rows = rows_of(made(name, engine))
    assert all(row.agrees and row.checked > 0 for row in rows), rows
    exact = [row for row in rows if row.derivation != "centred differences"]
    assert max(row.relative_error for row in exact) < USUAL_ERRORS[engine[1]]
    penalized = {"J"} if "l2" in SETTINGS[name] else set()
    assert {row.cost for row in rows} == {"L", "step"} | penalized
    values = [row.parameter for row in rows if row.parameter.startswith("L")]
    assert values == ["L", "L", "L (step)", "L (eval)"]
    moved = [row.parameter for row in rows if row.cost == "step"]
    velocity = ["V_W", "V_b"] if "momentum" in SETTINGS[name] else []
    assert moved == ["W", "b", *velocity]
    assert {row.engine for row in rows} == {", ".join(engine)}


@pytest.mark.parametrize("initial_std", [1, 30, 1e3, 1e6])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["softmax with l2", "svm with l2"])
def test_digits_that_large_scores_cost_are_not_held_against_the_gradient(name, engine, initial_std):
    descent = made(name, engine)
    descent.state.W *= initial_std / descent.state.W.std()
    rows = rows_of(descent)
    assert all(row.agrees for row in rows), [row for row in rows if not row.agrees]
    assert all(row.checked > 0 for row in rows if row.derivation == "loop over examples")
    if initial_std == 1:
        assert all(row.checked > 3 * row.apart for row in rows), rows


@pytest.mark.parametrize("size", [1e4, 1e6])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_much_smaller_than_b_is_not_held_against_it(tmp_path, engine, size):
    """With features so large, the step that moves W by its own size moves b in its last digits."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", (size * rng.standard_normal((60, 20))).astype("f4"))
    np.save(tmp_path / "y.npy", np.arange(60) % 4)
    data = f"format: npy, path: {tmp_path}/x.npy, labels: {tmp_path}/y.npy, standardize: none"
    descent = descent_for(f"data: {{{data}}}\n", engine)
    descent.state.b[...] = rng.standard_normal(descent.state.b.shape)
    rows = rows_of(descent)
    assert all(row.agrees for row in rows), [row for row in rows if not row.agrees]
    assert all(row.checked > 0 for row in rows if row.derivation == "update rule")


@pytest.mark.parametrize("parameter", ["W", "b"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["softmax", "svm with l2"])
def test_a_gradient_off_by_a_two_thousandth_fails(monkeypatch, name, dtype, parameter):
    right = NumpyEngine.sums

    def wrong(self, W, b, block, counts=None):
        sums = right(self, W, b, block, counts)
        array = sums.dW if parameter == "W" else sums.db
        array *= 1.0005
        return sums

    descent = made(name, ("numpy", dtype))
    monkeypatch.setattr(NumpyEngine, "sums", wrong)
    failed = [row for row in rows_of(descent) if not row.agrees]
    assert {row.parameter for row in failed} == {parameter}
    assert {row.cost for row in failed} == {"L", "step"} | ({"J"} if "l2" in name else set())
    assert {row.derivation for row in failed} >= {"loop over examples", "update rule"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_worst_coordinate_is_named(monkeypatch, dtype):
    """Coordinates are those of channel planes, however images are stored."""
    right = NumpyEngine.sums

    def wrong(self, W, b, block, counts=None):
        sums = right(self, W, b, block, counts)
        at = np.zeros(sums.dW.shape[2])
        at[17] = 1.0
        sums.dW[0, 2] += 30 * 1e-2 * from_planes(image, at).astype(dtype)  # of 30 examples
        return sums

    descent = made("softmax", ("numpy", dtype))
    image = descent.dataset.image
    monkeypatch.setattr(NumpyEngine, "sums", wrong)
    rows = [row for row in rows_of(descent) if row.parameter == "W" and not row.agrees]
    assert {row.worst for row in rows} == {(2, 17)}
    row = rows[0]
    assert row.engine_value - row.other_value == pytest.approx(1e-2, rel=1e-4)


def test_of_equal_relative_errors_the_largest_difference_is_the_worst():
    """With the sign wrong, every relative error is 1."""
    right = np.array([0.1, 2.0, -3.0, 0.5])
    quantity = Quantity("mine", "J", "W", -right.reshape(2, 2), 1e-9)
    found = quantity.compare("loop", 1e-6, np.arange(4), right, np.zeros(4))
    assert (found.relative_error, found.worst) == (1.0, (1, 0))
    quantity = Quantity("mine", "J", "W", np.array([[1.0, 9.0], [np.nan, 0.5]]), 1e-9)
    assert quantity.compare("loop", 1e-6, np.arange(4), right, np.zeros(4)).worst == (1, 0)


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
            loss=MULTICLASS_SVM,
            l2=0.0,
        )
        derivative, uncertainty = centred_differences(problem, "W", coordinates)
        assert np.isinf(uncertainty[0]) == is_kink
        if slope is not None:
            assert derivative[0] == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_examples_within_rounding_of_a_kink_are_left_out(engine):
    """At W = 0 and b = (-1, 0, 0, 0), s_0 - s_y + 1 is 0 for all examples but those of class 0."""
    descent = made("svm", engine)
    descent.state.W[...] = 0
    descent.state.b[0, 0] = -1 + np.finfo(engine[1]).eps
    block = descent.plan.epoch(0).batch(0)
    of_class_0 = int((block.labels[block.rows] == 0).sum())
    checked, *rows = compare(descent, None, 0)
    assert isinstance(checked, Checked)
    assert (checked.n_examples, checked.left_out) == (of_class_0, 30 - of_class_0)
    assert all(isinstance(row, Comparison) and row.agrees for row in rows), rows


def test_no_example_is_left():
    descent = made("svm", n=1)
    block = descent.plan.epoch(0).batch(0)
    descent.state.W[...] = 0
    descent.state.b[0, (block.labels[block.rows[0]] + 1) % 4] = -1
    assert list(compare(descent, None, 0)) == [Checked("numpy, float64", 0, 1, 1e-4)]


def test_samples_are_drawn_where_each_coordinate_costs():
    rows = [row for row in rows_of(made("softmax"), 7) if row.derivation in DERIVATIONS]
    for row in rows:
        everything = {"W": 4 * 6 * 6 * 3, "b": 4}[row.parameter]
        complete = DERIVATIONS[row.derivation].complete
        assert row.checked == (everything if complete else min(7, everything))


def test_float64_by_numpy_is_the_reference_of_the_others():
    assert reference(made("softmax")) is None
    for engine in ENGINES[1:]:
        beside = reference(made("softmax", engine))
        assert (beside.engine_name, beside.settings.dtype) == ("numpy", "float64")


def test_nan_disagrees_and_is_null_in_json():
    row = Comparison(
        "numpy, float64", "L", "W", "by hand", 1e-9, 1, 0, math.nan, (0, 0), math.nan, 1.0
    )
    assert not row.agrees
    found = json.loads(json.dumps(row.to_mapping(), allow_nan=False))
    assert (found["relative_error"], found["engine_value"], found["agrees"]) == (None, None, False)


@pytest.mark.parametrize("engine", ENGINES)
def test_images_whose_channels_stand_together(tmp_path, engine):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 5, 4, 3), np.uint8)
    np.savez(tmp_path / "d.npz", x=images, y=np.arange(60) % 3)
    data = f"data: {{format: npy, path: '{tmp_path}/d.npz', validation: 6, test: 6}}\n"
    descent = descent_for(data + "l2: 0.1\ntraining: {horizontal_flips: true}", engine)
    assert descent.dataset.image.interleaved
    rows = rows_of(descent)
    assert all(row.agrees and row.checked > 0 for row in rows), rows


@pytest.mark.parametrize("engine", ENGINES)
def test_digits_that_cancel_are_not_held_against_the_gradient(engine):
    """At W = 0 and with as many examples of each class, the terms of dL/db cancel."""
    text = "data: {format: synthetic, examples: 8000, size: 2, classes: 4}\nmodel: {initial_std: 0}"
    rows = rows_of(descent_for(text, engine, 6000), 5)
    assert all(row.agrees for row in rows), rows
    assert all(row.checked > 0 for row in rows if row.parameter != "decision")  # all scores are 0
