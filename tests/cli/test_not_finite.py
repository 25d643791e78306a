"""What is too large to compute with is named, and no NaN is printed or written."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from backprop_cli.jsontext import to_json

STD = 1e-3
ROW, COLUMN = 7, 2  # where the large value is


def strict(text):
    """Return the value of JSON text; refuse NaN and Infinity, which are no JSON."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON: {text}")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def files(tmp_path):
    """Good and bad examples, in files: x is finite in float32, but not x / std."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = (STD * (rng.standard_normal((60, 4)) + labels[:, None])).astype(np.float32)
    np.savez(tmp_path / "good.npz", x=x, y=labels)
    np.savez(tmp_path / "held.npz", x=x[::-1], y=labels[::-1])
    x[ROW, COLUMN] = 1e37
    np.savez(tmp_path / "bad.npz", x=x, y=labels)
    return tmp_path


@pytest.fixture
def settings(files):
    """A config whose validation and test examples are files of their own."""
    (files / "other.npz").write_bytes((files / "held.npz").read_bytes())
    path = files / "config.yaml"
    path.write_text(
        f"data: {{format: npy, path: '{files}/good.npz', validation: '{files}/held.npz', "
        f"test: '{files}/other.npz'}}\n"
        f"training: {{epochs: 2, batch_size: 10}}\noutput: '{files}/run'\n"
    )
    return path


@pytest.fixture
def trained(run, settings, files):
    status, _, err = run("train", "--config", settings)
    assert status == 0, err
    return files / "run"


LARGE = [f"bad.npz: features[{ROW}, {COLUMN}] is 1e+37", "standard deviations"]


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("as_json", [False, True])
def test_train_names_the_feature(refused, settings, files, split, as_json):
    options = ["--json"] if as_json else []
    options += ["--set", f"data.{split}={files}/bad.npz"]
    err = refused("train", "--config", settings, *options, words=LARGE)
    assert "learning rate" not in err


def test_eval_names_the_feature(refused, trained, files):
    bad = ["--set", f"data.test={files}/bad.npz"]
    for options in ([], ["--json"]):
        refused("eval", trained, *bad, *options, words=LARGE)


def test_predict_names_the_feature(refused, trained, files):
    for options in ([], ["--json"], ["--output", files / "p.csv"]):
        refused("predict", trained, "--input", files / "bad.npz", *options, words=LARGE)
    assert not (files / "p.csv").exists()


def test_calibrate_names_the_feature(refused, trained, files):
    pytest.importorskip("scipy", reason="needs the extra: calibrate")
    refused("calibrate", trained, "--set", f"data.validation={files}/bad.npz", words=LARGE)
    assert not (trained / "calibration.json").exists()


def tampered(trained, *weights):
    """Give a run's model other weights: one number per class, for all features."""
    path = trained / "model.safetensors"
    tensors = load_file(path)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    tensors["weights"][...] = np.reshape(weights, (-1, 1))
    save_file(tensors, path, metadata)


def test_a_model_whose_scores_overflow_is_refused(refused, trained, files):
    pytest.importorskip("scipy", reason="needs the extra: calibrate")
    tampered(trained, 3e38, 0, 0)
    # By hand, in float64: the first example at which a sum of three losses would leave float32.
    tensors = load_file(trained / "model.safetensors")
    largest = np.finfo(np.float32).max / 6

    def first(name):
        x = np.load(files / name)["x"].astype(np.float64)
        z = (x - tensors["feature_mean"]) / tensors["feature_std"]
        return int(np.argmax(np.abs(z @ tensors["weights"][0].astype(np.float64)) > largest))

    words = ["scores of example {} are too large for float32"]
    for command, name in (
        (["eval"], "other.npz"),
        (["eval", "--split", "validation", "--json"], "held.npz"),
        (["predict", "--input", files / "good.npz"], "good.npz"),
        (["calibrate"], "held.npz"),
        (["report"], "other.npz"),
    ):
        told = [f"{name}: ", *(word.format(first(name)) for word in words)]
        refused(command[0], trained, *command[1:], words=told)
    assert not (trained / "calibration.json").exists()


def test_scores_whose_differences_overflow_are_refused(refused, trained):
    """Scores of up to 3e38 are finite in float32; their differences, which are losses, are not."""
    tampered(trained, 4e37, -4e37, 0)
    for options in ([], ["--json"]):
        refused("eval", trained, *options, words=["are too large for float32"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_validation_example_far_from_training_is_named(refused, settings, files, dtype):
    """1e15 standard deviations are finite, and so is the loss; the learning rate is good."""
    with np.load(files / "held.npz") as held:
        x, y = held["x"], held["y"]
    x[ROW, COLUMN] = 1e15 * STD
    np.savez(files / "held.npz", x=x, y=y)
    told = ["held.npz: the validation loss is", f"example {ROW} is far from the training split"]
    options = ["--set", f"model.dtype={dtype}"]
    err = refused("train", "--config", settings, *options, words=told)
    assert "learning rate" not in err
    assert not (files / "run" / "summary.json").exists()


def test_validation_somewhat_far_from_training_is_trained_with(run, settings, files):
    with np.load(files / "held.npz") as held:
        np.savez(files / "held.npz", x=1e4 * held["x"], y=held["y"])
    status, out, err = run("train", "--config", settings, "--json")
    assert status == 0, err
    assert strict(out)["validation"]["loss"] > 10


@pytest.mark.parametrize("far", [5e38, 1.5e39])
def test_scores_that_overflow_in_validation_name_the_row(run, refused, settings, files, far):
    """Weights near 1e20 on features near 1e-17: scores that training can well live with."""
    x = 1e-17 * np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    for name in ("good", "held", "other"):
        np.savez(files / f"{name}.npz", x=x, y=np.arange(60) % 2)
    text = settings.read_text().replace("format: npy", "format: npy, standardize: none")
    settings.write_text(text + "model: {initial_std: 1e20}\n")
    status, _, err = run("train", "--config", settings, "--output", files / "first")
    assert status == 0, err
    # Validation examples whose two scores differ by so much, to the loss of most of them.
    W = load_file(files / "first" / "model.safetensors")["weights"].astype(np.float64)
    x[ROW:] = far * (W[0] - W[1]) / np.sum((W[0] - W[1]) ** 2)
    np.savez(files / "held.npz", x=x, y=np.ones(60, np.int64))
    told = ["held.npz: the validation loss is inf", f"example {ROW} is far from the training split"]
    err = refused("train", "--config", settings, words=told)
    assert "learning rate" not in err


def test_files_of_a_sweep_that_diverged_are_json(run, settings, files):
    rates = ["--grid", "training.learning_rate=0.01,1e30"]
    status, out, err = run("sweep", "--config", settings, "--json", *rates)
    assert status == 0, err
    strict(out)
    for name in ("sweep.json", "summary.json"):
        strict((files / "run" / name).read_text())
    for name in ("sweep.jsonl", "metrics.jsonl"):
        for line in (files / "run" / name).read_text().splitlines():
            strict(line)


def test_to_json_writes_null_for_what_is_no_json():
    values = {"a": float("nan"), "b": [float("inf"), {"c": -float("inf")}, 1.5], "d": (1, "NaN")}
    expected = {"a": None, "b": [None, {"c": None}, 1.5], "d": [1, "NaN"]}
    assert strict(to_json(values)) == expected
    assert strict(to_json(values, indent=2)) == expected
