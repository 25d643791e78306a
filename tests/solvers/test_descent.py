"""Training as a whole: against a plain loop written from the definition, and its invariants."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from backprop_cli.config import check_config
from backprop_cli.errors import ConfigError, DataError, DivergedError
from backprop_cli.evaluation.metrics import evaluate_model
from backprop_cli.formats import load_dataset
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.schedules import Cyclical
from tests.make import dataset, descent, split, trained


def images(classes=4, examples=330, validation=50, test=50):
    """Return images that a linear classifier tells apart far better than chance."""
    text = (
        f"data: {{format: synthetic, examples: {examples}, size: 6, classes: {classes}, "
        f"validation: {validation}, test: {test}}}"
    )
    return load_dataset(check_config(text, "test").data)


class Listener(Observer):
    def __init__(self):
        self.began, self.seen, self.records = [], [], []

    def begin(self, n_epochs, steps_per_epoch, steps_made):
        self.began.append((n_epochs, steps_per_epoch, steps_made))

    def steps(self, number, loss, learning_rate):
        self.seen.append((number, loss, learning_rate))

    def epoch(self, records):
        self.records.append(records)


def standardized(data):
    rows = data.train.rows
    pixels = data.train.features[rows].astype(float)
    return (pixels - pixels.mean(axis=0)) / pixels.std(axis=0), data.train.own_labels()


def plain_loss(examples, train, W, b):
    """Cross-entropy without smoothing and weights, standardized by the training split."""
    pixels = train.features[train.rows].astype(float)
    x = (examples.features[examples.rows] - pixels.mean(axis=0)) / pixels.std(axis=0)
    y = examples.own_labels()
    return -log_softmax(x @ W.T + b, axis=1)[np.arange(len(y)), y].mean()


def test_the_history_has_the_rate_that_was_given_not_its_nearest_float32():
    listener = Listener()
    trained(images(), epochs=1, learning_rate=0.003, observer=listener)
    assert listener.records[0][0].learning_rate == 0.003
    assert listener.seen[-1][2] == 0.003


def test_the_observer_hears_of_every_step_and_epoch():
    listener = Listener()
    training = descent(images(), epochs=3, batch_size=77)
    training.run(listener)
    assert listener.began == [(3, 3, 0)]
    assert sum(number for number, _, _ in listener.seen) == 9
    assert [r[0].epoch for r in listener.records] == [1, 2, 3]
    assert training.history[0] == [r[0] for r in listener.records]


@pytest.mark.parametrize("batch_size", [100, 77, 1000])
def test_softmax_training_equals_a_plain_loop(batch_size):
    """230 examples: 100 and 77 do not divide them, 1000 is more than there are."""
    data = images()
    training = descent(
        data, l2=0.05, label_smoothing=0.1, dtype="float64", epochs=3, batch_size=batch_size,
        learning_rate=0.01, momentum=0.9, class_weights=[1, 2, 0.5, 1], keep="last",
    )  # fmt: skip
    X, y = standardized(data)
    where = {row: k for k, row in enumerate(data.train.rows)}
    W, b = training.state.W[0].copy(), training.state.b[0].copy()
    training.run(Observer())
    VW, Vb = 0.0, 0.0
    v = np.array([1, 2, 0.5, 1])
    costs = []
    for epoch in range(3):
        order = [where[row] for row in training.plan.epoch(epoch).block.rows]
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
    np.testing.assert_allclose(training.kept(0).W, W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(training.kept(0).b, b, rtol=1e-9, atol=1e-12)
    history = training.history[0]
    np.testing.assert_allclose([record.train_cost for record in history], costs, rtol=1e-10)
    assert history[-1].validation_loss == pytest.approx(
        plain_loss(data.validation, data.train, W, b), rel=1e-9
    )


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_evaluating_many_examples_is_done_in_parts(engine):
    """More examples than an engine takes at once: the last figures are those of all of them."""
    if engine == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    rng = np.random.default_rng(0)
    features, labels = rng.integers(0, 256, (20_000, 6), np.uint8), rng.permutation(20_000) % 3
    data = dataset(split(features, labels), split(features, labels))
    weights = np.array([1.0, 0.5, 2.0])
    training = descent(data, engine=engine, epochs=1, class_weights=list(weights), batch_size=500)
    assert training.engine.examples_at_once < 20_000
    training.run(Observer())
    X, y = standardized(data)
    S = X @ training.state.W[0].T.astype(float) + training.state.b[0]
    losses = -log_softmax(S, axis=1)[np.arange(len(y)), y]
    record = training.history[0][0]
    assert record.train_loss == pytest.approx((losses * weights[y]).mean(), rel=1e-5)
    assert record.validation_loss == pytest.approx(losses.mean(), rel=1e-5)
    accuracy = (S.argmax(axis=1) == y).mean()
    assert record.train_accuracy == pytest.approx(accuracy, abs=2e-4)
    assert record.validation_accuracy == record.train_accuracy


def test_stacked_models_equal_models_alone():
    models = [
        {"l2": 0.1, "learning_rate": 0.01, "momentum": 0.5, "nesterov": True},
        {"label_smoothing": 0.1, "learning_rate": 0.002},
        {"loss": "multiclass_svm", "learning_rate": 0.003, "momentum": 0.9, "seed": 7},
    ]
    data = images()
    # A model's seed is that of its initial weights alone.
    together = trained(data, *models, dtype="float64")
    for m, model in enumerate(models):
        alone = trained(data, model, dtype="float64")
        np.testing.assert_allclose(together.kept(m).W, alone.kept(0).W, rtol=1e-10, atol=1e-13)
        assert together.kept(m).epoch == alone.kept(0).epoch


def test_a_single_output_learns_two_classes():
    data = images(classes=2, examples=600, test=200)
    for loss in ("softmax_cross_entropy", "multiclass_svm"):
        training = trained(data, loss=loss, single_output=True, epochs=5)
        assert training.state.W.shape == (1, 1, 108)
        assert training.model(0).weights.shape == (1, 108)
        assert training.selections[0].best[0] > 0.8  # chance is 0.5


def test_early_stopping_ends_the_run():
    training = trained(images(), epochs=200, learning_rate=0.05, patience=3)
    standings = [(r.validation_accuracy, -r.validation_loss) for r in training.history[0]]
    best = standings.index(max(standings)) + 1
    assert len(standings) == best + 3 < 200
    assert training.kept(0).epoch == best


def test_the_epoch_of_the_least_validation_loss_is_kept():
    data = images()
    training = trained(data, epochs=15, learning_rate=0.2, select_by="loss", dtype="float64")
    losses = [record.validation_loss for record in training.history[0]]
    kept = training.kept(0)
    assert kept.epoch == int(np.argmin(losses)) + 1
    assert 1 < kept.epoch < 15  # neither end would tell the least from another
    assert plain_loss(data.validation, data.train, kept.W, kept.b) == pytest.approx(
        min(losses), rel=1e-9
    )


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize(
    ("name", "classes"),
    [("balanced_accuracy", 4), ("macro_f1", 4), ("top_5_accuracy", 8), ("auc", 2)],
)
def test_every_measure_can_select_the_epoch(name, classes, engine):
    """The measure of the history, at the epoch that is kept, is that of the model that is kept."""
    if engine == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    data = images(classes=classes, validation=70)
    models = ({"learning_rate": 0.05}, {"learning_rate": 0.001, "loss": "multiclass_svm"})
    training = trained(data, *models, epochs=6, select_by=name, engine=engine)
    for m in range(2):
        values = [record.validation_measures[name] for record in training.history[m]]
        standings = [
            (value, -record.validation_loss)
            for value, record in zip(values, training.history[m], strict=True)
        ]
        assert training.kept(m).epoch == standings.index(max(standings)) + 1
        assert len(set(values)) > 1
        found = evaluate_model(training.model(m), data.validation)
        assert found.measures[name] == pytest.approx(max(values), rel=1e-12)


def test_a_measure_that_the_classes_do_not_have_is_refused():
    with pytest.raises(DataError, match="auc needs two classes, found 4"):
        descent(images(), select_by="auc")
    with pytest.raises(ConfigError, match="or loss, found 'f1'"):
        descent(images(), select_by="f1")


def test_before_an_epoch_has_ended_the_model_is_what_training_starts_from():
    training = descent(images(), initial_std=0.5)
    start = training.state.W[0].copy()
    assert training.kept(0).epoch == 0
    np.testing.assert_array_equal(training.kept(0).W, start)
    np.testing.assert_array_equal(training.model(0).weights, start)


def test_balanced_class_weights_give_every_class_the_same_say():
    training = descent(images(), class_weights="balanced")
    counts = np.bincount(training.dataset.train.own_labels())
    products = training.targets.class_weights * counts
    np.testing.assert_allclose(products, len(training.dataset.train) / 4, rtol=1e-6)


def test_divergence_is_told_with_its_step():
    with pytest.raises(
        DivergedError, match=r"(step \d+|the end) of epoch \d+, learning rate 1e\+06"
    ):
        trained(images(), l2=10, learning_rate=1e6, epochs=50)


def test_divergence_after_a_step_is_not_put_down_to_the_first_weights():
    with pytest.raises(DivergedError, match=r"step [2-9] of epoch 1, learning rate") as told:
        trained(images(), learning_rate=1e6, epochs=1)
    assert "model.initial_std" not in str(told.value)


def test_divergence_at_a_rate_of_zero_is_told_too():
    """The first step of this schedule has rate 0; the features alone are too large."""
    features = np.random.default_rng(0).standard_normal((60, 4)) * 1e12
    data = dataset(split(features, np.arange(60) % 3))
    with pytest.raises(DivergedError, match=r"step 1 of epoch 1, .* set data\.standardize"):
        trained(data, standardize="none", schedule=Cyclical(0.0, 4))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"single_output": True}, "two classes, the data has 4"),
        ({"class_weights": [1, 2]}, "expected 4 numbers"),
        ({"horizontal_flips": True}, r"training\.horizontal_flips: expected images"),
        ({"patience": 3}, r"training\.early_stopping: expected validation examples"),
        ({"standardize": "per_channel"}, r"data\.standardize: per_channel needs images"),
    ],
)
def test_what_the_data_cannot_give_is_refused(given, message):
    data = dataset(split(np.eye(40), np.arange(40) % 4))
    with pytest.raises(DataError, match=message):
        descent(data, **given)


def test_initial_weights_that_the_number_type_cannot_hold_are_refused():
    with pytest.raises(ConfigError, match=r"model\.initial_std: too large for float32"):
        descent(images(), initial_std=1e39)
    descent(images(), initial_std=1e39, dtype="float64")
