"""The engine's two products, cut into blocks or not, and a standardization folded into them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.engine import BatchEngine, fill_targets
from backprop_cli.engine import products as module
from backprop_cli.engine.losses import LOSSES
from backprop_cli.engine.products import ThinProducts

MOST = 1_000_000  # products of two numbers for which OpenBLAS has its kernels for small matrices


@pytest.fixture(params=[True, False], ids=["small kernels", "none"])
def small_kernels(request, monkeypatch):
    """A processor that has them, and one that has not."""
    monkeypatch.setattr(module, "_has_small_kernels", lambda: request.param)
    return request.param


@pytest.mark.parametrize(
    ("n", "K", "d"),
    [
        (100, 10, 3072), (250, 10, 3072), (100, 12, 3072), (1000, 2, 3072), (100, 10, 784),
        (100, 10, 1009), (1, 1, 1), (128, 16, 1024), (128, 17, 1024), (3000, 16, 64),
    ],
)  # fmt: skip
def test_products_are_those_of_float64(small_kernels, n, K, d):
    rng = np.random.default_rng(n)
    W = rng.standard_normal((K, d)).astype(np.float32)
    rows = rng.standard_normal((n, d)).astype(np.float32)
    G = rng.standard_normal((K, n)).astype(np.float32)
    dW, scores = np.full_like(W, np.nan), np.full((n, K), np.nan, np.float32)
    products = ThinProducts(W, dW, n)
    products.scores(rows, scores)
    products.gradient(G, rows)
    # Rounding: some 1e-7 of the sum of absolute values, of which the sum of d or n is made.
    exact = rows.astype(float) @ W.T.astype(float)
    np.testing.assert_allclose(scores, exact, rtol=0, atol=1e-6 * d)
    np.testing.assert_allclose(dW, G.astype(float) @ rows.astype(float), rtol=0, atol=1e-6 * n)


@given(n=st.integers(1, 2000), K=st.integers(1, 20), d=st.integers(1, 5000))
@settings(max_examples=300, deadline=None)
def test_a_block_is_a_product_that_the_small_kernels_take(n, K, d):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_has_small_kernels", lambda: True)
        blocks = module._blocks(n, np.empty((K, d), np.float32))
    assert d % blocks == 0
    if blocks > 1:
        assert K <= 16
        assert n * K * d // blocks <= MOST < n * K * d
        assert d // blocks >= 64


def test_cifar_is_cut_in_four(monkeypatch):
    monkeypatch.setattr(module, "_has_small_kernels", lambda: True)
    assert module._blocks(100, np.empty((10, 3072), np.float32)) == 4
    assert module._blocks(100, np.empty((10, 3072), np.float64)) == 1
    monkeypatch.setattr(module, "_has_small_kernels", lambda: False)
    assert module._blocks(100, np.empty((10, 3072), np.float32)) == 1


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [None, 1])
def test_a_folded_standardization_is_that_of_the_rows(loss, outputs):
    """In float64, so that only the mathematics can differ."""
    M, C, d, n = 3, 2 if outputs else 5, 40, 30
    rng = np.random.default_rng(0)
    W, b = rng.standard_normal((M, outputs or C, d)), rng.standard_normal((M, outputs or C))
    raw = rng.integers(0, 256, (n, d)).astype(float)
    mean, std = raw.mean(axis=0), raw.std(axis=0)
    labels = rng.integers(0, C, n)
    Y = fill_targets(labels, np.zeros(1), np.empty((1, C, n)))
    found = []
    for rows, folded in (((raw - mean) / std, None), (raw, (mean, 1 / std))):
        engine = BatchEngine(
            W.copy(), b.copy(), losses=[loss] * M, l2=[0.0, 0.1, 1.0], n_classes=C,
            batch_size=n, folded=folded,
        )  # fmt: skip
        L = engine.loss_gradient(rows, Y)
        found.append((L, engine.dW, engine.db, engine.scores(rows).copy()))
    for plain, by_folding in zip(*found, strict=True):
        np.testing.assert_allclose(by_folding, plain, rtol=1e-11, atol=1e-12)
