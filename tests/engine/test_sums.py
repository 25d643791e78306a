"""Cost and gradient of the NumPy engine and the objective: autograd, closed forms, invariants."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.special import logsumexp
from hypothesis import given
from hypothesis import strategies as st

from backprop_cli.engine import Targets, Task
from backprop_cli.engine.numpy_engine import NumpyEngine
from backprop_cli.losses import LOSSES
from backprop_cli.objective import Objective
from backprop_cli.sources import Block, Standardization
from tests.make import split


def problem(seed, M, C, d, n, *, outputs=None):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((M, outputs or C, d))
    b = rng.standard_normal((M, outputs or C))
    return W, b, rng.standard_normal((n, d)), rng.integers(C, size=n)


def engine_for(rows, losses, C, *, outputs=None, smoothing=(0.0,), weights=None):
    """Return an engine for examples that are used as they are."""
    n, d = rows.shape
    return NumpyEngine(
        Task(
            losses=tuple(LOSSES[loss] for loss in losses),
            targets=Targets(C, np.array(smoothing, rows.dtype), weights),
            n_outputs=outputs or C,
            standardization=Standardization(np.zeros(d), np.ones(d)),
            splits=(split(rows),),
            dtype=rows.dtype,
            batch_size=n,
            threads=1,
        )
    )


def gradient_of(engine, W, b, l2, rows, labels):
    """Return J of each model, and copies of dJ/dW and dJ/db."""
    sums = engine.sums(W, b, split(rows, labels).block(0, len(rows)))
    objective = Objective(np.array(l2, W.dtype))
    J = objective.loss(sums) + objective.penalty(W)
    dW, db = objective.gradient(sums, W)
    return J, dW.copy(), db.copy()


def reference_cost(loss, l2, rows, Y, v, single):
    """J of one model, written example by example for autograd: independent of the engine."""

    def cost(W, b):
        total = 0.0
        for i in range(len(rows)):
            s = anp.dot(W, rows[i]) + b
            if single:
                s = anp.array([-0.5, 0.5]) * s[0]
            if loss == "softmax_cross_entropy":
                loss_i = -anp.sum(Y[:, i] * (s - logsumexp(s)))
            else:
                y = int(np.argmax(Y[:, i]))
                margins = [anp.maximum(0.0, s[j] - s[y] + 1.0) for j in range(len(s)) if j != y]
                loss_i = sum(margins)
            total = total + v[i] * loss_i
        return total / len(rows) + l2 * anp.sum(W**2)

    return cost


shapes = st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(1, 7), st.integers(1, 9))


@pytest.mark.parametrize("loss", LOSSES)
@given(shape=shapes, seed=st.integers(0, 10**6), l2=st.sampled_from([0.0, 0.3]))
def test_cost_and_gradient_agree_with_autograd(loss, shape, seed, l2):
    M, C, d, n = shape
    W, b, rows, labels = problem(seed, M, C, d, n)
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 2.0, C)
    smoothing = rng.uniform(0, 0.5, M) * (loss == "softmax_cross_entropy")
    engine = engine_for(rows, [loss] * M, C, smoothing=smoothing, weights=weights)
    costs, all_dW, all_db = gradient_of(engine, W, b, [l2] * M, rows, labels)
    for m in range(M):
        Y = (1 - smoothing[m]) * np.eye(C)[labels].T + smoothing[m] / C
        cost = reference_cost(loss, l2, rows, Y, weights[labels], single=False)
        np.testing.assert_allclose(costs[m], cost(W[m], b[m]), rtol=1e-12, atol=1e-14)
        dW, db = autograd.grad(cost, (0, 1))(W[m], b[m])
        size = max(np.abs(dW).max(), 1e-3)
        np.testing.assert_allclose(all_dW[m], dW, rtol=1e-12, atol=1e-12 * size)
        np.testing.assert_allclose(all_db[m], db, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9))
def test_a_single_output_agrees_with_autograd(loss, seed, n):
    W, b, rows, labels = problem(seed, 2, 2, 4, n, outputs=1)
    engine = engine_for(rows, [loss] * 2, 2, outputs=1)
    costs, all_dW, all_db = gradient_of(engine, W, b, [0.1, 0.0], rows, labels)
    for m, l2 in enumerate([0.1, 0.0]):
        cost = reference_cost(loss, l2, rows, np.eye(2)[labels].T, np.ones(n), single=True)
        np.testing.assert_allclose(costs[m], cost(W[m], b[m]), rtol=1e-12, atol=1e-14)
        dW, db = autograd.grad(cost, (0, 1))(W[m], b[m])
        np.testing.assert_allclose(all_dW[m], dW, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(all_db[m], db, rtol=1e-11, atol=1e-13)


def test_single_output_losses_are_logistic_and_hinge():
    """One score s: log(1 + exp(-t s)) and max(0, 1 - t s), t = -1 and +1 for classes 0 and 1."""
    s = np.array([-3.0, -0.5, 0.0, 0.7, 5.0])
    W, b = np.ones((1, 1, 1)), np.zeros((1, 1))
    for label, t in ((0, -1.0), (1, 1.0)):
        examples = split(s[:, None], [label] * 5)
        for loss, expected in (
            ("softmax_cross_entropy", np.logaddexp(0.0, -t * s)),
            ("multiclass_svm", np.maximum(0.0, 1.0 - t * s)),
        ):
            engine = engine_for(s[:, None], [loss], 2, outputs=1)
            plain = Targets.plain(2, np.dtype(np.float64))
            found = engine.outcomes(W, b, examples.block(0, 5), plain)
            np.testing.assert_allclose(found.losses[0], expected, rtol=1e-13)
            assert found.decisions[0].tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e4, -1e4, 1e10])
def test_extreme_scores_stay_finite(loss, dtype, size):
    W, b = np.array([[[size], [-size], [0.0]]], dtype), np.zeros((1, 3), dtype)
    rows = np.ones((3, 1), dtype)
    L, dW, db = gradient_of(engine_for(rows, [loss], 3), W, b, [0.0], rows, np.arange(3))
    assert np.isfinite(L).all()
    assert np.isfinite(dW).all()
    assert np.isfinite(db).all()
    # Scores (size, -size, 0), each class once: losses 0, 2 |size|, |size| for either sign.
    if loss == "softmax_cross_entropy":
        np.testing.assert_allclose(L[0], abs(size), rtol=1e-6)


def test_equal_scores_give_the_known_values():
    """At W = 0: cross-entropy log C, SVM C - 1 (every margin is 1)."""
    C, rows = 10, np.ones((4, 2))
    for loss, expected in (("softmax_cross_entropy", np.log(C)), ("multiclass_svm", C - 1.0)):
        engine = engine_for(rows, [loss], C)
        L, _, _ = gradient_of(
            engine, np.zeros((1, C, 2)), np.zeros((1, C)), [0.0], rows, [0, 3, 5, 9]
        )
        np.testing.assert_allclose(L[0], expected, rtol=1e-13)


def test_the_svm_takes_no_gradient_from_a_margin_of_exactly_zero():
    """Scores 1 and 0, true class the first: s_j - s_y + 1 = 0."""
    W, rows = np.array([[[1.0], [0.0]]]), np.ones((1, 1))
    engine = engine_for(rows, ["multiclass_svm"], 2)
    L, dW, db = gradient_of(engine, W, np.zeros((1, 2)), [0.0], rows, [0])
    assert L[0] == 0.0
    assert not dW.any()
    assert not db.any()


def test_stacked_models_with_different_losses_equal_models_alone():
    C, d, n = 4, 6, 11
    losses = ["softmax_cross_entropy", "multiclass_svm", "multiclass_svm", "softmax_cross_entropy"]
    l2 = [0.0, 0.1, 0.0, 1.0]
    W, b, rows, labels = problem(5, 4, C, d, n)
    together = gradient_of(engine_for(rows, losses, C), W, b, l2, rows, labels)
    for m in range(4):
        own = slice(m, m + 1)
        alone = gradient_of(engine_for(rows, losses[own], C), W[own], b[own], l2[own], rows, labels)
        for one, all_models in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_models[m], rtol=1e-12, atol=1e-14)


def test_the_bias_is_a_weight_on_a_column_of_ones():
    W, b, rows, labels = problem(3, 1, 5, 4, 8)
    L, _, db = gradient_of(
        engine_for(rows, ["softmax_cross_entropy"], 5), W, b, [0.0], rows, labels
    )
    wide = np.column_stack([rows, np.ones(8)])
    L_wide, dW_wide, _ = gradient_of(
        engine_for(wide, ["softmax_cross_entropy"], 5),
        np.concatenate([W, b[:, :, None]], axis=2), 0 * b, [0.0], wide, labels,
    )  # fmt: skip
    np.testing.assert_allclose(L, L_wide, rtol=1e-13)
    np.testing.assert_allclose(dW_wide[:, :, -1], db, rtol=1e-12, atol=1e-15)


def test_the_penalty_is_on_the_weights_and_never_on_the_bias():
    """l2 alone moves W: dJ/dW gains 2 lambda W, J gains lambda sum W_ij^2, dJ/db gains nothing."""
    W, b, rows, labels = problem(4, 2, 3, 5, 6)
    engine = engine_for(rows, ["softmax_cross_entropy"] * 2, 3)
    plain = gradient_of(engine, W, b, [0.0, 0.0], rows, labels)
    found = gradient_of(engine, W, b, [0.0, 0.7], rows, labels)
    np.testing.assert_array_equal(found[2], plain[2])
    np.testing.assert_allclose(found[1] - plain[1], [0 * W[0], 1.4 * W[1]], atol=1e-14)
    np.testing.assert_allclose(found[0] - plain[0], [0, 0.7 * (W[1] ** 2).sum()], atol=1e-13)


def test_a_short_batch_after_a_long_one_is_its_own():
    """Memory is used again: what an earlier batch left must not show."""
    W, b, rows, labels = problem(9, 2, 3, 4, 10)
    engine = engine_for(rows, ["multiclass_svm"] * 2, 3)
    gradient_of(engine, W, b, [0.1, 0.0], rows, labels)
    found = gradient_of(engine, W, b, [0.1, 0.0], rows[:3], labels[:3])
    fresh = engine_for(rows[:3], ["multiclass_svm"] * 2, 3)
    expected = gradient_of(fresh, W, b, [0.1, 0.0], rows[:3], labels[:3])
    np.testing.assert_array_equal(found[0], expected[0])
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-16)


def test_targets():
    labels = np.array([2, 0, 2])
    targets = Targets(4, np.array([0.0, 0.2]), np.array([1.0, 2.0, 0.5, 3.0]))
    Y = targets.columns(labels)
    np.testing.assert_array_equal(Y[0], np.eye(4)[:, labels])
    np.testing.assert_allclose(Y[1], 0.05 + 0.8 * np.eye(4)[:, labels], rtol=1e-15)
    np.testing.assert_allclose(Y.sum(axis=1), 1.0, rtol=1e-15)
    block = Block(np.zeros((3, 1)), labels, np.arange(3))
    np.testing.assert_array_equal(targets.example_weights(block), [0.5, 1.0, 0.5])
    assert Targets.plain(4, np.dtype("float64")).example_weights(block) is None
    weighted = Block(
        np.zeros((3, 1)), labels, np.array([2, 0]), None, example_weights=np.array([3.0, 9.0, 0.2])
    )
    np.testing.assert_allclose(targets.example_weights(weighted), [0.5 * 0.2, 0.5 * 3.0])
    own = Targets(4, np.zeros(1))
    np.testing.assert_array_equal(own.example_weights(weighted), [0.2, 3.0])
    assert Targets.plain(4, np.dtype("float64")).example_weights(weighted) is None
