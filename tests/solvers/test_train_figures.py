"""Training figures from the steps, epochs that are not evaluated, models that leave the stack."""

import numpy as np
import pytest
from scipy.special import log_softmax

from backprop_cli.errors import DivergedError
from backprop_cli.solvers.defaults import resolved
from backprop_cli.solvers.observer import Observer
from tests.make import dataset, descent, job, split, trained
from tests.solvers.test_communicator import together
from tests.solvers.test_descent import images, standardized


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_figures_of_the_steps_are_those_of_a_plain_loop(engine):
    """230 examples in steps of 77 and one of 76, or of 150 and 80: pieces of a mini-batch, too."""
    if engine == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    data, v, l2 = images(), np.array([1, 2, 0.5, 1]), 0.05
    for batch_size in (77, 150):
        training = descent(
            data, l2=l2, engine=engine, epochs=2, batch_size=batch_size, learning_rate=0.02,
            class_weights=list(v), keep="last", train_figures="steps",
        )  # fmt: skip
        X, y = standardized(data)
        where = {row: k for k, row in enumerate(data.train.rows)}
        W, b = (a[0].astype(float) for a in (training.state.W, training.state.b))
        training.run(Observer())
        for epoch, record in enumerate(training.history[0]):
            order = [where[row] for row in training.plan.epoch(epoch).block.rows]
            losses = right = 0.0
            for first in range(0, len(X), batch_size):
                batch = order[first : first + batch_size]
                S = X[batch] @ W.T + b
                weights = v[y[batch]]
                chosen = np.arange(len(batch)), y[batch]
                losses -= (log_softmax(S, axis=1)[chosen] * weights).sum()
                right += (S.argmax(axis=1) == y[batch]).sum()
                G = np.exp(log_softmax(S, axis=1))
                G[chosen] -= 1
                G *= weights[:, None]
                W, b = W - 0.02 * (G.T @ X[batch] / len(batch) + 2 * l2 * W), b - 0.02 * G.mean(0)
            assert record.train_figures == "steps"
            assert record.train_loss == pytest.approx(losses / len(X), rel=1e-5)
            cost = losses / len(X) + l2 * (W**2).sum()
            assert record.train_cost == pytest.approx(cost, rel=1e-5)
            assert record.train_accuracy == pytest.approx(right / len(X), abs=0.5 / len(X))


def test_several_processes_find_the_figures_of_one():
    data = images()
    options = {"epochs": 2, "batch_size": 33, "train_figures": "steps", "dtype": "float64"}
    [alone] = trained(data, **options).history

    def run(communicator):
        training = descent(data, communicator=communicator, **options)
        training.run(Observer())
        return training.history[0]

    for found in together(2, run):
        for one, other in zip(found, alone, strict=True):
            assert one.train_loss == pytest.approx(other.train_loss, rel=1e-11)
            assert one.train_accuracy == other.train_accuracy


@pytest.mark.parametrize("figures", ["evaluation", "steps"])
def test_every_third_epoch_and_the_last_are_evaluated(figures):
    whole = trained(images(), epochs=7, keep="last").history[0]
    training = trained(images(), epochs=7, evaluate_every=3, train_figures=figures)
    history = training.history[0]
    assert [record.epoch for record in history] == [1, 2, 3, 4, 5, 6, 7]
    for record, other in zip(history, whole, strict=True):
        evaluated = record.epoch in (3, 6, 7)
        assert record.validation_loss == (other.validation_loss if evaluated else None)
        if figures == "evaluation":
            assert record.train_cost == (other.train_cost if evaluated else None)
    best = max((3, 6, 7), key=lambda epoch: whole[epoch - 1].standing("accuracy"))
    assert training.kept(0).epoch == best


def test_patience_counts_evaluated_epochs():
    """Without a rate nothing changes: epoch 3 stays the best; 6 and 9 are not better."""
    training = trained(images(), learning_rate=0.0, epochs=20, evaluate_every=3, patience=2)
    assert len(training.history[0]) == 9
    assert training.kept(0).epoch == 3


@pytest.mark.parametrize("more", [{"train_figures": "steps"}, {"evaluate_every": 2}])
def test_a_loss_that_runs_away_in_an_epochs_last_step_is_told(more):
    """All examples are one step, of which the first makes the weights enormous."""
    with pytest.raises(DivergedError, match="at the end of epoch 1, learning rate"):
        trained(images(), learning_rate=1e20, epochs=2, batch_size=1000, **more)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_a_model_that_stops_leaves_the_products_and_the_others_are_as_alone(engine):
    """The one in the middle stops early."""
    if engine == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    common = {"engine": engine, "epochs": 6, "patience": 2, "select_by": "loss", "momentum": 0.9}
    models: list[dict] = [{}, {"learning_rate": 0.0}, {"learning_rate": 0.002, "l2": 0.1}]
    training = trained(images(), *models, **common)
    assert [len(own) for own in training.history] == [6, 3, 6]
    assert training.stack.models == [0, 2]
    state, block = training.stack.state, training.plan.epoch(0).batch(0)
    assert training.engine.sums(state.W, state.b, block).dW.shape == (2, 4, 108)
    for m, own in ((0, models[0]), (2, models[2])):
        alone = trained(images(), own, **common)
        tolerance = 0 if engine == "compiled" else 1e-6  # the kernels take every row by itself
        for name in ("W", "velocity_W", "b"):
            found, expected = (getattr(t.state, name) for t in (training, alone))
            np.testing.assert_allclose(found[m], expected[0], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("d", "expected"), [(100, "evaluation"), (10_000, "steps")])
def test_a_long_pass_over_the_training_split_is_spared(d, expected):
    """2 x 60,000 examples x d x 2 classes: 2.4e7 and 2.4e9 operations."""
    data = dataset(split(np.broadcast_to(np.float32(0), (60_000, d))))
    settings, solver = job(train_figures=None)
    assert resolved(solver, settings, data, None).train_figures == expected
