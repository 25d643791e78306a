"""A run, from a config to a run directory."""

import json

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import DataError, DivergedError
from backprop_cli.reporting.report.load import run_view
from backprop_cli.reporting.report.text import to_text
from backprop_cli.runs.history import load_history
from backprop_cli.runs.opened import open_run
from backprop_cli.runs.run import Run
from backprop_cli.runs.run_directory import load_run
from backprop_cli.solvers.observer import Observer

DATA = "data: {format: synthetic, examples: 330, size: 6, classes: 4, validation: 50, test: 50}\n"


def config(text, output, data=DATA):
    return check_config(f"{data}{text}\noutput: '{output}'\n", "test")


def test_a_run_leaves_its_files(tmp_path):
    result = Run(config("training: {epochs: 3}", tmp_path / "my run")).train(Observer())
    lines = (tmp_path / "my run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert set(json.loads(lines[0])) == {
        "epoch",
        "seconds",
        "learning_rate",
        "train_loss",
        "train_cost",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
    }
    summary = json.loads((tmp_path / "my run" / "summary.json").read_text())
    assert summary["test"]["accuracy"] == result.test.accuracy
    assert sorted(p.name for p in (tmp_path / "my run").iterdir()) == [
        "config.yaml",
        "metrics.jsonl",
        "model.safetensors",
        "summary.json",
    ]


def test_the_history_says_that_figures_are_those_of_the_steps(tmp_path):
    own = "training: {epochs: 3, evaluate_every: 2, train_figures: steps}"
    Run(config(own, tmp_path / "run")).train(Observer())
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["train_figures"] for line in lines] == ["steps"] * 3
    assert [line["validation_loss"] is None for line in lines] == [True, False, False]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["train_figures"] == "steps"
    view = run_view(open_run(str(tmp_path / "run")), "test")
    assert view.trained == "training, mean over the steps"
    assert "Training figures are averages over the steps of each epoch." in to_text(view)


def test_the_model_in_the_folder_is_the_one_that_was_kept(tmp_path):
    run = Run(config("training: {epochs: 3, learning_rate: 0.05}", tmp_path / "run"))
    run.train(Observer())
    _, model = load_run(str(tmp_path / "run"))
    np.testing.assert_array_equal(model.weights, run.training.kept(0).W)
    np.testing.assert_array_equal(model.bias, run.training.kept(0).b)


def test_a_single_output_is_one_row_of_weights(tmp_path):
    data = "data: {format: synthetic, examples: 600, size: 6, classes: 2, test: 200}\n"
    for loss in ("softmax_cross_entropy", "multiclass_svm"):
        text = f"loss: {loss}\nmodel: {{outputs: 1}}\ntraining: {{epochs: 5, learning_rate: 0.01}}"
        result = Run(config(text, tmp_path / loss, data)).train(Observer())
        _, model = load_run(str(tmp_path / loss))
        assert model.weights.shape == (1, 108)
        assert result.test.accuracy > 0.8  # chance is 0.5


def test_a_run_that_diverges_leaves_what_was_last_good(tmp_path):
    """The rate rises: good epochs come first, and what they gave is kept."""
    text = (
        "l2: 10\ntraining: {learning_rate: 2, epochs: 60, batch_size: 50, keep: last, "
        "schedule: {kind: cyclical, minimum: 1.0e-9, half_cycle: 1000}}"
    )
    with pytest.raises(DivergedError, match=r"(step \d+|the end) of epoch \d+, learning rate"):
        Run(config(text, tmp_path / "run")).train(Observer())
    _, model = load_run(str(tmp_path / "run"))
    epochs = load_history(tmp_path / "run")
    assert len(epochs) >= 1
    assert np.isfinite(model.weights).all()
    assert model.weights.any()
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {outputs: 1}", "two classes, the data has 4"),
        ("training: {class_weights: [1, 2]}", "expected 4 numbers"),
    ],
)
def test_what_the_data_cannot_give_is_refused_before_a_folder_is_made(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        Run(config(text, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
