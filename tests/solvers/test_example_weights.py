"""A weight per training example: a factor on its loss, in every engine, and in training alone."""

import dataclasses

import numpy as np
import pytest
from scipy.special import log_softmax

from backprop_cli.engine.targets import Targets
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import Dataset, Source, Split, survey
from tests.gradcheck.checked import ENGINES, descent_for, rows_of
from tests.make import descent

N, D, C = 240, 5, 3
CLASS_WEIGHTS = [1.0, 2.0, 0.5]


def examples(own_weights=None, seed=0):
    """Return 200 training and 40 validation examples of one source."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, C, N)
    features = (rng.standard_normal((C, D))[labels] + rng.standard_normal((N, D))).astype("f4")
    source = Source(features, labels, "some data", example_weights=own_weights)
    rows = rng.permutation(N)
    return Dataset(Split(source, np.sort(rows[40:])), Split(source, np.sort(rows[:40])), None,
                   ("a", "b", "c"))  # fmt: skip


def counts(seed=1):
    return np.random.default_rng(seed).integers(0, 4, N).astype(float)


def engine_or_skip(name):
    if name == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    return name


@pytest.mark.parametrize("class_weights", [None, CLASS_WEIGHTS])
@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_a_weight_of_k_is_k_copies(engine, dtype, class_weights):
    """The sums of weighted examples are those of a batch that has each of them k times."""
    common = {"engine": engine_or_skip(engine), "dtype": dtype, "class_weights": class_weights,
              "batch_size": 200, "standardize": "none"}  # fmt: skip
    weights = counts()
    weighted, plain = examples(weights), examples()
    rows = weighted.train.rows[:100]
    repeated = np.repeat(rows, weights[rows].astype(int))
    assert len(repeated) <= 200
    one, other = descent(weighted, **common), descent(plain, **common)
    W, b = one.state.W, one.state.b
    found = one.engine.sums(W, b, weighted.train.source.block(rows))
    expected = other.engine.sums(W, b, plain.train.source.block(repeated))
    tolerance = 1e-11 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(found.loss, expected.loss, rtol=tolerance)
    for ours, theirs in ((found.dW, expected.dW), (found.db, expected.db)):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())
    assert found.n == 100


@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_the_training_loss_is_weighted_and_the_validation_loss_is_not(engine, dtype):
    weights = counts()
    data = examples(weights)
    training = descent(
        data, engine=engine_or_skip(engine), dtype=dtype, epochs=2, standardize="none", l2=0.1,
        class_weights=CLASS_WEIGHTS, learning_rate=0.05, keep="last",
    )  # fmt: skip
    training.run(Observer())
    kept, record = training.kept(0), training.history[0][-1]

    def losses(split):
        S = split.features[split.rows] @ kept.W.T.astype(float) + kept.b
        y = split.own_labels()
        return -log_softmax(S, axis=1)[np.arange(len(y)), y]

    rows, y = data.train.rows, data.train.own_labels()
    loss = (losses(data.train) * np.array(CLASS_WEIGHTS)[y] * weights[rows]).mean()  # by n
    assert record.train_loss == pytest.approx(loss, rel=1e-5)
    assert record.train_cost == pytest.approx(loss + 0.1 * (kept.W**2).sum(), rel=1e-5)
    assert record.validation_loss == pytest.approx(losses(data.validation).mean(), rel=1e-5)


@pytest.mark.parametrize("weights", [None, CLASS_WEIGHTS])
def test_the_kernels_steps_are_those_of_numpy(weights):
    engine_or_skip("compiled")
    found = []
    for engine in ("numpy", "compiled"):
        training = descent(
            examples(counts()), engine=engine, epochs=3, class_weights=weights, momentum=0.9
        )
        training.run(Observer())
        found.append(training)
    np.testing.assert_allclose(found[0].state.W, found[1].state.W, rtol=0, atol=1e-5)
    assert found[0].history[0][-1].train_loss == pytest.approx(
        found[1].history[0][-1].train_loss, rel=1e-4
    )


def test_weights_of_one_change_nothing():
    found = []
    for weights in (None, np.ones(N)):
        training = descent(examples(weights), epochs=2)
        training.run(Observer())
        found.append(training.state.W)
    np.testing.assert_array_equal(*found)


def config(folder, engine, more=""):
    data = examples()
    np.savez(folder / "d.npz", x=data.train.features, y=data.train.source.labels)
    np.save(folder / "w.npy", counts())
    return descent_for(
        f"data: {{format: npy, path: '{folder}/d.npz', weights: '{folder}/w.npy'}}{more}", engine
    )


@pytest.mark.parametrize("more", ["", "\ntraining: {class_weights: [1, 2, 0.5]}\nl2: 0.1"])
@pytest.mark.parametrize("engine", ENGINES)
def test_gradcheck_agrees(tmp_path, engine, more):
    rows = rows_of(config(tmp_path, engine, more))
    assert rows
    assert all(row.agrees and row.checked > 0 for row in rows), rows


def test_gradcheck_notices_an_engine_that_leaves_them_out(tmp_path, monkeypatch):
    training = config(tmp_path, ("numpy", "float64"))
    right = Targets.example_weights
    monkeypatch.setattr(
        Targets, "example_weights",
        lambda self, block: right(self, block._replace(example_weights=None)),
    )  # fmt: skip
    wrong = {(row.cost, row.parameter) for row in rows_of(training) if not row.agrees}
    assert {("L", "L"), ("L", "L (eval)"), ("L", "W"), ("L", "b"), ("step", "W")} <= wrong


def test_the_fingerprint_has_the_weights_of_training_examples():
    def fingerprint(data):
        return survey(data, "none", "float32").fingerprint

    weights = counts()
    data = examples(weights)
    changed = weights.copy()
    changed[data.train.rows[0]] += 1
    assert fingerprint(data) == fingerprint(examples(weights.copy()))
    assert fingerprint(data) != fingerprint(examples())
    assert fingerprint(data) != fingerprint(examples(changed))
    changed = weights.copy()
    changed[data.validation.rows[0]] += 1  # no one looks at it
    assert fingerprint(data) == fingerprint(examples(changed))


def test_source_of_other_examples_has_none():
    """A file of its own has no weights; its blocks carry none."""
    data = examples(counts())
    source = dataclasses.replace(data.train.source, example_weights=None)
    assert Split(source, np.arange(3)).block(0, 2).example_weights is None
    assert data.train.block(0, 2).example_weights is not None
