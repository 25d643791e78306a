"""Training as a whole: against a plain loop written from the definition, and its invariants."""

import json

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from backprop_cli.config import check_config
from backprop_cli.errors import DataError, DivergedError
from backprop_cli.formats import load_dataset
from backprop_cli.objective import initial_parameters
from backprop_cli.runs.run import Run
from backprop_cli.solvers.loop import Observer, Trainer
from backprop_cli.solvers.selection import Selection
from backprop_cli.sources import epoch_order

DATA = "data: {format: synthetic, examples: 330, size: 6, classes: 4, validation: 50, test: 50}\n"


def config(text="", data=DATA):
    return check_config(data + text, "test")


class Listener(Observer):
    def __init__(self):
        self.seen, self.records = [], []

    def steps(self, number, loss, learning_rate):
        self.seen.append((number, loss, learning_rate))

    def epoch(self, records):
        self.records.append(records)


def trained(configuration):
    trainer, listener = Trainer(load_dataset(configuration.data, "float64"), [configuration]), None
    listener = Listener()
    trainer.run(listener)
    return trainer, listener


def standardized(dataset):
    rows = dataset.train.rows
    pixels = dataset.train.features[rows].astype(float)
    return (pixels - pixels.mean(axis=0)) / pixels.std(axis=0), dataset.train.labels[rows]


def test_the_history_has_the_rate_that_was_given_not_its_nearest_float32():
    _, listener = trained(config("training: {epochs: 1, learning_rate: 0.003}"))
    assert listener.records[0][0].learning_rate == 0.003


@pytest.mark.parametrize("batch_size", [100, 77, 1000])
def test_softmax_training_equals_a_plain_loop(batch_size):
    """230 examples: 100 and 77 do not divide them, 1000 is more than there are."""
    settings = config(
        "l2: 0.05\nlabel_smoothing: 0.1\nmodel: {dtype: float64}\n"
        f"training: {{epochs: 3, batch_size: {batch_size}, learning_rate: 0.01, momentum: 0.9,"
        " class_weights: [1, 2, 0.5, 1], keep: last}"
    )
    trainer, listener = trained(settings)
    dataset = trainer.dataset
    X, y = standardized(dataset)
    where = {row: k for k, row in enumerate(dataset.train.rows)}
    W, b = (array[0].copy() for array in initial_parameters([settings], 4, X.shape[1]))
    VW, Vb = 0.0, 0.0
    v = np.array([1, 2, 0.5, 1])
    costs = []
    for epoch in range(3):
        order = [where[row] for row in epoch_order(dataset.train.rows, 42, epoch)]
        assert sorted(order) == list(range(len(X)))  # without replacement, none left out
        for first in range(0, len(X), batch_size):
            batch = order[first : first + batch_size]
            Y = 0.9 * np.eye(4)[y[batch]] + 0.1 / 4
            G = (softmax(X[batch] @ W.T + b, axis=1) - Y) * v[y[batch], None]
            VW = 0.9 * VW + G.T @ X[batch] / len(batch) + 2 * 0.05 * W
            Vb = 0.9 * Vb + G.mean(axis=0)
            W, b = W - 0.01 * VW, b - 0.01 * Vb
        Y = 0.9 * np.eye(4)[y] + 0.1 / 4
        losses = -(Y * log_softmax(X @ W.T + b, axis=1)).sum(axis=1) * v[y]
        costs.append(losses.mean() + 0.05 * (W**2).sum())
    np.testing.assert_allclose(trainer.selections[0].kept.W, W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(trainer.selections[0].kept.b, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose([r[0].train_cost for r in listener.records], costs, rtol=1e-10)
    assert listener.records[-1][0].validation_loss == pytest.approx(
        plain_loss(dataset.validation, dataset.train, W, b), rel=1e-9
    )


def plain_loss(split, train, W, b):
    """Cross-entropy without smoothing and weights, standardized by the training split."""
    pixels = train.features[train.rows].astype(float)
    x = (split.features[split.rows] - pixels.mean(axis=0)) / pixels.std(axis=0)
    y = split.labels[split.rows]
    return -log_softmax(x @ W.T + b, axis=1)[np.arange(len(y)), y].mean()


def test_stacked_models_equal_models_alone():
    texts = [
        "l2: 0.1\ntraining: {epochs: 2, learning_rate: 0.01, momentum: 0.5, nesterov: true}",
        "label_smoothing: 0.1\ntraining: {epochs: 2, learning_rate: 0.002}",
        "loss: multiclass_svm\ntraining: {epochs: 2, learning_rate: 0.003, momentum: 0.9}",
    ]
    settings = [config(text + "\nmodel: {dtype: float64}") for text in texts]
    dataset = load_dataset(settings[0].data, "float64")
    together = Trainer(dataset, settings)
    together.run(Observer())
    for setting, selection in zip(settings, together.selections, strict=True):
        alone = Trainer(dataset, [setting])
        alone.run(Observer())
        np.testing.assert_allclose(
            selection.kept.W, alone.selections[0].kept.W, rtol=1e-10, atol=1e-13
        )
        assert selection.kept.epoch == alone.selections[0].kept.epoch


def test_a_single_output_learns_two_classes():
    data = "data: {format: synthetic, examples: 600, size: 6, classes: 2, test: 200}\n"
    for loss in ("softmax_cross_entropy", "multiclass_svm"):
        settings = config(
            f"loss: {loss}\nmodel: {{outputs: 1}}\ntraining: {{epochs: 5, learning_rate: 0.01}}",
            data,
        )
        trainer, _ = trained(settings)
        assert trainer.engine.W.shape == (1, 1, 108)
        model = Run(settings).trainer
        assert model.engine.n_outputs == 1
        assert trainer.selections[0].best_figure > 0.8  # chance is 0.5


def test_best_epoch_is_the_first_of_the_best_and_patience_counts_from_it():
    selection = Selection("best", patience=2)
    figures = [0.3, 0.5, 0.5, 0.4]
    for epoch, figure in enumerate(figures, 1):
        assert not selection.stopped
        selection.update(epoch, figure, np.full((2, 2), float(epoch)), np.zeros(2))
    assert selection.stopped
    assert selection.kept.epoch == 2
    assert selection.kept.W[0, 0] == 2.0


def test_keep_last_and_no_validation():
    for selection, figures in (
        (Selection("last", None), [0.9, 0.1]),
        (Selection("best", None), [None, None]),
    ):
        for epoch, figure in enumerate(figures, 1):
            selection.update(epoch, figure, np.zeros((2, 2)), np.zeros(2))
        assert selection.kept.epoch == 2


def test_early_stopping_ends_the_run():
    settings = config("training: {epochs: 200, learning_rate: 0.05, early_stopping: {patience: 3}}")
    trainer, listener = trained(settings)
    accuracies = [r[0].validation_accuracy for r in listener.records]
    best = int(np.argmax(accuracies)) + 1
    assert len(accuracies) == best + 3 < 200
    assert trainer.selections[0].kept.epoch == best


def test_the_epoch_of_the_least_validation_loss_is_kept():
    settings = config(
        "training: {epochs: 15, learning_rate: 0.2, select_by: loss}\nmodel: {dtype: float64}"
    )
    trainer, listener = trained(settings)
    losses = [r[0].validation_loss for r in listener.records]
    kept = trainer.selections[0].kept
    assert kept.epoch == int(np.argmin(losses)) + 1
    assert 1 < kept.epoch < 15  # neither end would tell the least from another
    split, train = trainer.dataset.validation, trainer.dataset.train
    assert plain_loss(split, train, kept.W, kept.b) == pytest.approx(min(losses), rel=1e-9)


def test_balanced_class_weights_give_every_class_the_same_say():
    settings = config("training: {class_weights: balanced, epochs: 1}")
    trainer, _ = trained(settings)
    counts = np.bincount(trainer.dataset.train.own_labels())
    products = trainer.objective.class_weights * counts
    np.testing.assert_allclose(products, len(trainer.dataset.train) / 4, rtol=1e-6)


def test_divergence_is_told_with_its_step(tmp_path):
    settings = config("l2: 10\ntraining: {learning_rate: 1e6, epochs: 50}").model_copy(
        update={"output": str(tmp_path / "run")}
    )
    with pytest.raises(
        DivergedError, match=r"(step \d+|the end) of epoch \d+, learning rate 1e\+06"
    ):
        Run(settings).train(Observer())


def test_divergence_at_a_rate_of_zero_is_told_too(tmp_path):
    """The first step of this schedule has rate 0; the features alone are too large."""
    x = np.random.default_rng(0).standard_normal((60, 4)) * 1e12
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(60) % 3)
    text = (
        f"data: {{format: npy, path: '{tmp_path}/d.npz', standardize: none}}\n"
        "training: {schedule: {kind: cyclical, minimum: 0.0, half_cycle: 4}}\n"
        f"output: '{tmp_path}/run'\n"
    )
    with pytest.raises(DivergedError, match=r"step 1 of epoch 1, .* set data\.standardize"):
        Run(check_config(text, "test")).train(Observer())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {outputs: 1}", "two classes, the data has 4"),
        ("training: {class_weights: [1, 2]}", "expected 4 numbers"),
    ],
)
def test_what_the_data_cannot_give_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        Run(config(text))


def test_a_run_leaves_its_files(tmp_path):
    settings = config("training: {epochs: 3}").model_copy(
        update={"output": str(tmp_path / "my run")}
    )
    result = Run(settings).train(Observer())
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
