"""What single kernels compute is what the formula gives in float64."""

import numpy as np
import pytest

from backprop_cli import blas
from backprop_cli.engine import threads as thread_counts
from backprop_cli.sources import ImageLayout
from tests.engine.test_compiled import LOSSES, assert_same, data_of
from tests.make import trained

pytest.importorskip("numba", reason="needs the extra: fast")
from backprop_cli.engine.kernels.halves import readable
from backprop_cli.engine.kernels.memory import LINE, aligned
from backprop_cli.engine.kernels.products import gradient_rows, scores, scores_by_blas
from backprop_cli.engine.kernels.structures import CHUNK_BYTES
from backprop_cli.engine.kernels.tile import ROWS
from backprop_cli.losses.kernels import softmax_cross_entropy


@pytest.mark.parametrize("n", [1, 3, 4, 9])
@pytest.mark.parametrize("m", [1, 15, 16, 17, 31, 48, 77])
@pytest.mark.parametrize("K", [1, 5, 6, 13])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_scores_of_a_block_are_those_of_float64(n, m, K, dtype):
    """Edges included: examples, classes and features that fill no whole tile, and a NaN nearby."""
    rng = np.random.default_rng(n + m + K)
    x = np.full((n + 2, m + 8), np.nan if dtype != "uint8" else 255).astype(dtype)
    rows = rng.permutation(n + 2)[:n]
    x[rows, 3 : 3 + m] = rng.integers(0, 9, (n, m))
    mean, W = rng.standard_normal(m), np.full((K, m + 3), np.nan)
    W[:, 2 : 2 + m] = rng.standard_normal((K, m))
    S = np.zeros((n, -(-K // ROWS) * ROWS), np.float32)
    own = W.astype(np.float32)
    places = rows * x.shape[1]
    scores(readable(x.reshape(-1)), places, 3, mean.astype(np.float32), own, 2, 2 + m, S)
    expected = (x[rows, 3 : 3 + m].astype(float) - mean) @ W[:, 2 : 2 + m].T
    np.testing.assert_allclose(S[:, :K], expected, atol=1e-5 * np.sqrt(m))


@pytest.mark.parametrize("C", [2, 10, 37])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_softmax_of_one_example_is_that_of_float64(C, smoothing):
    scale = np.array([1.0, 30.0, 200.0])[:, None]  # of the last, most shares are 0 in float32
    for s in np.random.default_rng(C).standard_normal((3, C)) * scale:
        own = s.astype(np.float32)
        loss = softmax_cross_entropy(own, 1, np.float32(smoothing))
        s = s.astype(np.float32).astype(float)
        p = np.exp(s - s.max()) / np.exp(s - s.max()).sum()
        y = (1 - smoothing) * np.eye(C)[1] + smoothing / C
        log_p = s - s.max() - np.log(np.exp(s - s.max()).sum())
        assert loss == pytest.approx(-y @ log_p, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(own, p - y, atol=2e-7)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("d", "batch_size"), [(600, 256), (1009, 300), (1009, 600)])
def test_strips_of_features_and_chunks_of_examples(monkeypatch, d, batch_size, threads):
    """A thread's float32 features of 256 examples are more than meet all classes at once."""
    monkeypatch.setattr(thread_counts, "cores", lambda: 2)
    assert 256 * 4 * 600 / threads > CHUNK_BYTES
    data = data_of(700, d, 13, "float32")
    assert_same(data, {"learning_rate": 0.001}, threads=threads, batch_size=batch_size)


needs_openblas = pytest.mark.skipif(
    not blas.product_address(), reason="needs the BLAS of NumPy's wheels"
)


@needs_openblas
@pytest.mark.parametrize(("n", "m", "K"), [(1, 1, 1), (3, 17, 70), (130, 40, 9)])
def test_products_by_the_blas_are_those_of_float64(n, m, K):
    """Of parts of larger arrays, whose other numbers are not used and not written."""
    rng = np.random.default_rng(n)
    mean, scale, W, x, G = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in (m, m + 5, (K, m), (n, m), (n, K))
    )
    wide_W, wide_x = np.full((K, m + 5), np.nan, "f"), np.full((n + 2, m + 3), np.nan, "f")
    wide_W[:, 2 : 2 + m], wide_x[:n, :m] = W, x
    S, dW = np.full((n + 1, K + 1), 7, "f"), np.full((K, m + 4), 7, "f")
    address = blas.product_address()
    scores_by_blas(address, wide_x, n, mean, scale, wide_W, 2, 2 + m, S)
    own = (x.astype(float) - mean) * scale[2 : 2 + m]
    np.testing.assert_allclose(S[:n, :K], own @ W.T.astype(float), atol=1e-5 * np.sqrt(m))
    gradient_rows(address, G, wide_x, mean, n, 0, m, dW)
    np.testing.assert_allclose(dW[:, :m], G.T.astype(float) @ own, atol=1e-5 * np.sqrt(n))
    for untouched in (S[n], S[:, K], dW[:, m:]):
        assert (untouched == 7).all()


@pytest.mark.parametrize("by_blas", [pytest.param(True, marks=needs_openblas), False])
@pytest.mark.parametrize(("dtype", "threads"), [("uint8", 1), ("float16", 2), ("float32", 3)])
def test_many_rows_of_weights(monkeypatch, dtype, threads, by_blas):
    """More than are made at once; several pieces of a mini-batch, and the last one is short."""
    monkeypatch.setattr(thread_counts, "cores", lambda: 3)
    if not by_blas:
        monkeypatch.setattr(blas, "product_address", lambda: 0)
    models = (
        {"loss": LOSSES[0], "l2": 0.05, "learning_rate": 0.01},
        {"loss": LOSSES[1], "momentum": 0.5, "learning_rate": 0.001},
        {"loss": LOSSES[0], "momentum": 0.9, "nesterov": True, "learning_rate": 0.003},
    )
    data = data_of(700, 50 * threads, 67, dtype)
    assert_same(data, *models, threads=threads, batch_size=300)


@needs_openblas
@pytest.mark.parametrize("own", [{}, {"momentum": 0.9}, {"batch_size": 300}])
def test_one_model_by_the_blas(own):
    """Without momentum, W moves within the product; where K is large, 300 are two pieces."""
    common = {"batch_size": 100, "l2": 0.1, "learning_rate": 0.02, **own}
    assert_same(data_of(500, 70, 130), **common)
    if own:
        assert_same(data_of(4200, 3, 4097), **common)


@needs_openblas
@pytest.mark.parametrize("n_classes", [100, 67])
def test_models_without_momentum_by_the_blas(n_classes):
    """Rows that are made at once are of one model, or of two."""
    models = {"learning_rate": 0.02, "l2": 0.1}, {"learning_rate": 0.01, "loss": LOSSES[1]}
    assert_same(data_of(500, 70, n_classes), *models, batch_size=100)


@needs_openblas
def test_mirrored_images_by_the_blas():
    data = data_of(300, 3 * 8 * 8, 80, image=ImageLayout(3, 8, 8))
    assert_same(data, batch_size=100, learning_rate=0.003, horizontal_flips=True)


@pytest.mark.parametrize(
    ("n_classes", "batch_size", "expected"), [(63, 100, 0), (64, 63, 0), (64, 64, 1)]
)
def test_the_blas_is_taken_for_many_rows_and_examples(monkeypatch, n_classes, batch_size, expected):
    asked = 0

    def product_address():
        nonlocal asked
        asked += 1
        return 0

    monkeypatch.setattr(blas, "product_address", product_address)
    trained(data_of(200, 9, n_classes), engine="compiled", batch_size=batch_size)
    assert asked == expected


@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 1000)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_begin_with_a_line_of_memory(shape, dtype):
    for _ in range(5):
        found = aligned(shape, dtype)
        assert (found.shape, found.dtype, found.ctypes.data % LINE) == (shape, dtype, 0)
        assert not found.any()
        assert found.flags.c_contiguous
