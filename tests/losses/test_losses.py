"""Every loss: its forms agree with each other, with autograd, and with scipy."""

import importlib.util
import math

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.special import logsumexp
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from backprop_cli.losses import LOSSES


def softmax_cross_entropy(s, y):
    return -anp.sum(y * (s - logsumexp(s)))


def multiclass_svm(s, y):
    true = int(np.argmax(y))
    return sum(anp.maximum(0.0, s[j] - s[true] + 1.0) for j in range(len(s)) if j != true)


DEFINITIONS = {"softmax_cross_entropy": softmax_cross_entropy, "multiclass_svm": multiclass_svm}
AT_EQUAL_SCORES = {"softmax_cross_entropy": math.log, "multiclass_svm": lambda C: C - 1}
scales = st.sampled_from([0.1, 1.0, 10.0])


def problem(loss, seed, M, C, n, scale=1.0, shared=False):
    """Return scores M x C x n, and targets: any probability vectors where the loss takes them."""
    rng = np.random.default_rng(seed)
    S = scale * rng.standard_normal((M, C, n))
    if loss.takes_soft_targets:
        return S, rng.dirichlet(np.ones(C), (1 if shared else M, n)).transpose(0, 2, 1)
    return S, np.eye(C)[rng.integers(C, size=(1 if shared else M, n))].transpose(0, 2, 1)


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


def test_every_loss_is_tested_here():
    assert set(LOSSES) == set(DEFINITIONS) == set(AT_EQUAL_SCORES)
    assert all(name == loss.name for name, loss in LOSSES.items())


@pytest.mark.parametrize("name", LOSSES)
@given(
    seed=st.integers(0, 10**6), M=st.integers(1, 3), C=st.integers(2, 9), n=st.integers(1, 5),
    scale=scales, shared=st.booleans(),
)  # fmt: skip
def test_all_forms_agree_with_autograd(name, seed, M, C, n, scale, shared):
    loss = LOSSES[name]
    S, Y = problem(loss, seed, M, C, n, scale, shared)
    losses, G = loss.loss_gradient(S.copy(), Y.copy())
    assert losses.shape == (M, n)
    assert G.shape == (M, C, n)
    for m in range(M):
        targets = Y[m % len(Y)]
        values = loss.values(S[m], targets)
        assert values.shape == (n,)
        for i in range(n):
            s, y = S[m, :, i], targets[:, i]
            expected = DEFINITIONS[name](s, y)
            g = autograd.grad(DEFINITIONS[name])(s, y)
            by_example = loss.by_example(s, y)
            tolerance = {"rtol": 1e-12, "atol": 1e-13 * max(scale, 1)}
            for found in (losses[m, i], values[i], by_example[0]):
                np.testing.assert_allclose(found, expected, **tolerance)
            for found in (G[m, :, i], by_example[1]):
                np.testing.assert_allclose(found, g, **tolerance)


@given(
    seed=st.integers(0, 10**6), C=st.integers(2, 20), n=st.integers(1, 30),
    scale=st.sampled_from([1.0, 10.0, 100.0]),
)  # fmt: skip
def test_cross_entropy_is_scipys(seed, C, n, scale):
    loss = LOSSES["softmax_cross_entropy"]
    S, Y = problem(loss, seed, 1, C, n, scale)
    losses, G = loss.loss_gradient(S.copy(), Y)
    expected = -(Y * log_softmax(S, axis=1)).sum(axis=1)
    np.testing.assert_allclose(losses, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(G, softmax(S, axis=1) - Y, rtol=1e-10, atol=1e-14)


def test_targets_are_not_changed(loss):
    S, Y = problem(loss, 0, 2, 4, 3, shared=True)
    before = Y.copy()
    loss.loss_gradient(S, Y)
    np.testing.assert_array_equal(Y, before)


@pytest.mark.parametrize("C", [2, 3, 10, 100])
def test_the_value_at_equal_scores(loss, C):
    expected = AT_EQUAL_SCORES[loss.name](C)
    assert loss.at_equal_scores(C) == pytest.approx(expected, rel=1e-14)
    S, Y = np.full((1, C, C), 0.7), np.eye(C)[None]
    np.testing.assert_allclose(loss.loss_gradient(S.copy(), Y)[0], expected, rtol=1e-13)
    np.testing.assert_allclose(loss.values(S[0], Y[0]), expected, rtol=1e-13)
    assert loss.by_example(S[0, :, 0], Y[0, :, 0])[0] == pytest.approx(expected, rel=1e-13)


def test_a_smooth_loss_has_no_kinks_and_takes_the_complex_step(loss):
    """Im l(s + ih e_k) / h is dl/ds_k without any difference, so a step may be tiny."""
    assert (loss.kinks is None) == loss.smooth
    if not loss.smooth:
        return
    S, Y = problem(loss, 3, 1, 5, 4)
    _, G = loss.loss_gradient(S.copy(), Y)
    h = 1e-30
    for k in range(5):
        moved = S[0].astype(complex)
        moved[k] += 1j * h
        np.testing.assert_allclose(loss.values(moved, Y[0]).imag / h, G[0, k], atol=1e-14)


def test_kinks_say_where_the_gradient_jumps(loss):
    """Two points have the same gradient if and only if they are on the same side of every kink."""
    if loss.kinks is None:
        return
    rng = np.random.default_rng(0)
    C, n = 3, 2000
    Y = np.eye(C)[rng.integers(C, size=n)].T
    S = rng.normal(0, 2, (C, n))
    other = S + rng.normal(0, 0.5, (C, n))
    distances, other_distances = loss.kinks(S, Y), loss.kinks(other, Y)
    same = ((distances > 0) == (other_distances > 0)).all(axis=0)
    gradients = [loss.loss_gradient(s[None].copy(), Y[None])[1][0] for s in (S, other)]
    equal = (gradients[0] == gradients[1]).all(axis=0)
    np.testing.assert_array_equal(same, equal)
    assert 100 < same.sum() < 1900


def test_the_svms_kinks_by_hand():
    """Margins s_j - s_y + 1: the kink is at 0."""
    S = np.array([[2.0, 2.0, 0.0], [1.0, 1.5, 0.0], [0.0, 3.5, -1.0]])
    Y = np.eye(3)[[0, 0, 2]].T
    expected = [[1.0, 1.0, 2.0], [0.0, 0.5, 2.0], [-1.0, 2.5, 1.0]]
    assert LOSSES["multiclass_svm"].kinks(S, Y).tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e4, -1e4, 1e10])
def test_extreme_scores(loss, dtype, size):
    """Scores (size, -size, 0), each class once: losses 0, 2 |size|, |size| for either sign.

    The SVM has a margin of 1, and with it some more.
    """
    S = np.broadcast_to(np.array([size, -size, 0.0], dtype)[None, :, None], (1, 3, 3)).copy()
    Y = np.eye(3, dtype=dtype)[None]
    losses, G = loss.loss_gradient(S.copy(), Y)
    assert losses.dtype == G.dtype == dtype
    assert np.isfinite(G).all()
    order = [0, 1, 2] if size > 0 else [1, 0, 2]
    expected = np.array([0, 2, 1]) * abs(size)
    if loss.name == "multiclass_svm":
        expected = np.array([0, 3, 1]) * abs(size)
    np.testing.assert_allclose(losses[0, order], expected, rtol=1e-3, atol=0)


def test_a_score_that_is_no_number_shows_in_the_loss(loss):
    """Training looks for divergence in the loss alone."""
    S, Y = problem(loss, 0, 1, 4, 5)
    S[0, 2, 3] = np.nan
    with np.errstate(invalid="ignore"):
        losses, _ = loss.loss_gradient(S, Y)
    assert np.isnan(losses[0]).tolist() == [False, False, False, True, False]


@pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="needs the extra: fast")
def test_the_kernel_is_the_same_function(loss):
    """Compiled for float32; smoothing stands for the soft targets."""
    from backprop_cli.losses import kernels

    rng = np.random.default_rng(0)
    for smoothing in (0.0, 0.3) if loss.takes_soft_targets else (0.0,):
        for C in (2, 3, 10):
            s, label = rng.normal(0, 3, C), int(rng.integers(C))
            y = (1 - smoothing) * np.eye(C)[label] + smoothing / C
            expected, g = loss.by_example(s, y)
            single = s.astype(np.float32)
            found = getattr(kernels, loss.kernel)(single, label, np.float32(smoothing))
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
            np.testing.assert_allclose(single, g, atol=1e-6)
            s[rng.integers(C)] = np.nan
            assert math.isnan(getattr(kernels, loss.kernel)(s.astype("f4"), label, np.float32(0)))
