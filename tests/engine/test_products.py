"""The NumPy engine's two products, cut into blocks or not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.engine import products as module
from backprop_cli.engine.products import Products, n_blocks

MOST = 1_000_000  # products of two numbers for which OpenBLAS has its kernels for small matrices


@pytest.fixture(params=[True, False], ids=["small kernels", "none"])
def small_kernels(request, monkeypatch):
    """A processor that has them, and one that has not."""
    monkeypatch.setattr(module, "has_small_kernels", lambda: request.param)
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
    products = Products(K, n, d, W.dtype)
    products.scores(rows, W, scores)
    products.gradient(G, rows, dW)
    # Rounding: some 1e-7 of the sum of absolute values, of which the sum of d or n is made.
    exact = rows.astype(float) @ W.T.astype(float)
    np.testing.assert_allclose(scores, exact, rtol=0, atol=1e-6 * d)
    np.testing.assert_allclose(dW, G.astype(float) @ rows.astype(float), rtol=0, atol=1e-6 * n)


@given(n=st.integers(1, 2000), K=st.integers(1, 20), d=st.integers(1, 5000))
@settings(max_examples=300, deadline=None)
def test_a_block_is_a_product_that_the_small_kernels_take(n, K, d):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "has_small_kernels", lambda: True)
        blocks = n_blocks(K, n, d, np.dtype(np.float32))
    assert d % blocks == 0
    if blocks > 1:
        assert K <= 16
        assert n * K * d // blocks <= MOST < n * K * d
        assert d // blocks >= 64


def test_cifar_is_cut_in_four(monkeypatch):
    monkeypatch.setattr(module, "has_small_kernels", lambda: True)
    assert n_blocks(10, 100, 3072, np.dtype(np.float32)) == 4
    assert n_blocks(10, 100, 3072, np.dtype(np.float64)) == 1
    monkeypatch.setattr(module, "has_small_kernels", lambda: False)
    assert n_blocks(10, 100, 3072, np.dtype(np.float32)) == 1
