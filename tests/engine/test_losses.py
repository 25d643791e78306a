"""The losses and their gradients against scipy, autograd and closed forms."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.special import logsumexp
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from backprop_cli.engine import BatchEngine, fill_targets
from backprop_cli.engine.losses import LOSSES


def problem(seed, M, C, d, n, *, soft, scale=1.0, outputs=None):
    rng = np.random.default_rng(seed)
    O = outputs or C  # noqa: E741 - the number of outputs, beside C
    W = scale * rng.standard_normal((M, O, d))
    b = rng.standard_normal((M, O))
    rows = rng.standard_normal((n, d))
    Y = np.eye(C)[rng.integers(C, size=n)].T[None]
    if soft:
        Y = rng.dirichlet(np.ones(C), size=(M, n)).transpose(0, 2, 1)
    return W, b, rows, Y


def engine_for(W, b, loss, l2, C, n):
    return BatchEngine(W.copy(), b.copy(), losses=[loss] * len(W), l2=l2, n_classes=C, batch_size=n)


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
    W, b, rows, Y = problem(seed, M, C, d, n, soft=loss == "softmax_cross_entropy")
    v = np.random.default_rng(seed).uniform(0.1, 2.0, n)
    engine = engine_for(W, b, loss, [l2] * M, C, n)
    costs = engine.loss_gradient(rows, Y, v) + engine.penalty()
    for m in range(M):
        cost = reference_cost(loss, l2, rows, Y[m % len(Y)], v, single=False)
        np.testing.assert_allclose(costs[m], cost(W[m], b[m]), rtol=1e-12, atol=1e-14)
        dW, db = autograd.grad(cost, (0, 1))(W[m], b[m])
        size = max(np.abs(dW).max(), 1e-3)
        np.testing.assert_allclose(engine.dW[m], dW, rtol=1e-12, atol=1e-12 * size)
        np.testing.assert_allclose(engine.db[m], db, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 9))
def test_a_single_output_agrees_with_autograd(loss, seed, n):
    W, b, rows, Y = problem(seed, 2, 2, 4, n, soft=False, outputs=1)
    engine = engine_for(W, b, loss, [0.1, 0.0], 2, n)
    costs = engine.loss_gradient(rows, Y) + engine.penalty()
    for m, l2 in enumerate([0.1, 0.0]):
        cost = reference_cost(loss, l2, rows, Y[0], np.ones(n), single=True)
        np.testing.assert_allclose(costs[m], cost(W[m], b[m]), rtol=1e-12, atol=1e-14)
        dW, db = autograd.grad(cost, (0, 1))(W[m], b[m])
        np.testing.assert_allclose(engine.dW[m], dW, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(engine.db[m], db, rtol=1e-11, atol=1e-13)


def test_single_output_losses_are_logistic_and_hinge():
    """One score s: log(1 + exp(-t s)) and max(0, 1 - t s), t = -1 and +1 for classes 0 and 1."""
    s = np.array([-3.0, -0.5, 0.0, 0.7, 5.0])
    W, b = np.ones((1, 1, 1)), np.zeros((1, 1))
    for label, t in ((0, -1.0), (1, 1.0)):
        Y = np.eye(2)[[label] * 5].T[None]
        for loss, expected in (
            ("softmax_cross_entropy", np.logaddexp(0.0, -t * s)),
            ("multiclass_svm", np.maximum(0.0, 1.0 - t * s)),
        ):
            engine = engine_for(W, b, loss, [0.0], 2, 5)
            engine.scores(s[:, None])
            np.testing.assert_allclose(engine.losses_of_scores(Y)[0], expected, rtol=1e-13)


@given(seed=st.integers(0, 10**6), C=st.integers(2, 20), n=st.integers(1, 30))
def test_cross_entropy_is_scipys(seed, C, n):
    W, b, rows, Y = problem(seed, 1, C, 5, n, soft=True, scale=10.0)
    engine = engine_for(W, b, "softmax_cross_entropy", [0.0], C, n)
    S = engine.scores(rows)[0].copy()
    losses = engine.losses_of_scores(Y)[0]
    np.testing.assert_allclose(
        losses, -(Y[0] * log_softmax(S, axis=0)).sum(axis=0), rtol=1e-12, atol=1e-14
    )
    engine.loss_gradient(rows, Y)
    G = softmax(S, axis=0) - Y[0]
    np.testing.assert_allclose(engine.db[0], G.mean(axis=1), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [1e4, -1e4, 1e10])
def test_extreme_scores_stay_finite(loss, dtype, size):
    W = np.array([[[size], [-size], [0.0]]], dtype)
    engine = engine_for(W, np.zeros((1, 3), dtype), loss, [0.0], 3, 3)
    rows = np.ones((3, 1), dtype)
    Y = np.eye(3, dtype=dtype)[None]
    L = engine.loss_gradient(rows, Y)
    assert np.isfinite(L).all()
    assert np.isfinite(engine.dW).all()
    assert np.isfinite(engine.db).all()
    # Scores (size, -size, 0), each class once: losses 0, 2 |size|, |size| for either sign.
    if loss == "softmax_cross_entropy":
        np.testing.assert_allclose(L[0], abs(size), rtol=1e-6)


def test_equal_scores_give_the_known_values():
    """At W = 0: cross-entropy log C, SVM C - 1 (every margin is 1)."""
    C, n = 10, 4
    Y = np.eye(C)[[0, 3, 5, 9]].T[None]
    rows = np.ones((n, 2))
    for loss, expected in (("softmax_cross_entropy", np.log(C)), ("multiclass_svm", C - 1.0)):
        engine = engine_for(np.zeros((1, C, 2)), np.zeros((1, C)), loss, [0.0], C, n)
        np.testing.assert_allclose(engine.loss_gradient(rows, Y)[0], expected, rtol=1e-13)


def test_the_svm_takes_no_gradient_from_a_margin_of_exactly_zero():
    """Scores 1 and 0, true class the first: s_j - s_y + 1 = 0."""
    W = np.array([[[1.0], [0.0]]])
    engine = engine_for(W, np.zeros((1, 2)), "multiclass_svm", [0.0], 2, 1)
    L = engine.loss_gradient(np.ones((1, 1)), np.array([[[1.0], [0.0]]]))
    assert L[0] == 0.0
    assert not engine.dW.any()
    assert not engine.db.any()


def test_stacked_models_with_different_losses_equal_models_alone():
    C, d, n = 4, 6, 11
    losses = ["softmax_cross_entropy", "multiclass_svm", "multiclass_svm", "softmax_cross_entropy"]
    l2 = [0.0, 0.1, 0.0, 1.0]
    W, b, rows, Y = problem(5, 4, C, d, n, soft=False)
    together = BatchEngine(W.copy(), b.copy(), losses=losses, l2=l2, n_classes=C, batch_size=20)
    L = together.loss_gradient(rows, Y)
    for m in range(4):
        alone = engine_for(W[m : m + 1], b[m : m + 1], losses[m], [l2[m]], C, n)
        np.testing.assert_allclose(alone.loss_gradient(rows, Y)[0], L[m], rtol=1e-13)
        np.testing.assert_allclose(alone.dW[0], together.dW[m], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(alone.db[0], together.db[m], rtol=1e-12, atol=1e-14)


def test_the_bias_is_a_weight_on_a_column_of_ones():
    W, b, rows, Y = problem(3, 1, 5, 4, 8, soft=False)
    engine = engine_for(W, b, "softmax_cross_entropy", [0.0], 5, 8)
    L = engine.loss_gradient(rows, Y)
    wide = engine_for(
        np.concatenate([W, b[:, :, None]], axis=2), 0 * b, "softmax_cross_entropy", [0.0], 5, 8
    )
    L_wide = wide.loss_gradient(np.column_stack([rows, np.ones(8)]), Y)
    np.testing.assert_allclose(L, L_wide, rtol=1e-13)
    np.testing.assert_allclose(wide.dW[:, :, -1], engine.db, rtol=1e-12, atol=1e-15)


def test_a_short_batch_after_a_long_one_is_its_own():
    """Buffers are reused: what an earlier batch left must not show."""
    W, b, rows, Y = problem(9, 2, 3, 4, 10, soft=False)
    engine = engine_for(W, b, "multiclass_svm", [0.1, 0.0], 3, 10)
    engine.loss_gradient(rows, Y)
    L = engine.loss_gradient(rows[:3], Y[:, :, :3])
    fresh = engine_for(W, b, "multiclass_svm", [0.1, 0.0], 3, 3)
    np.testing.assert_array_equal(L, fresh.loss_gradient(rows[:3], Y[:, :, :3]))
    np.testing.assert_allclose(engine.dW, fresh.dW, rtol=1e-13, atol=1e-16)


def test_targets():
    labels = np.array([2, 0, 2])
    Y = fill_targets(labels, np.array([0.0, 0.2]), np.full((2, 4, 3), np.nan))
    np.testing.assert_array_equal(Y[0], np.eye(4)[:, labels])
    np.testing.assert_allclose(Y[1], 0.05 + 0.8 * np.eye(4)[:, labels], rtol=1e-15)
    np.testing.assert_allclose(Y.sum(axis=1), 1.0, rtol=1e-15)
