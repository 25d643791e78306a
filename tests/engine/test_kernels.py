"""What single kernels compute is what the formula gives in float64."""

import numpy as np
import pytest

from backprop_cli import blas
from backprop_cli.engine import threads as thread_counts
from tests.engine.test_compiled import assert_same, data_of
from tests.make import descent

pytest.importorskip("numba", reason="needs the extra: fast")
from backprop_cli.engine.kernels import shapes
from backprop_cli.engine.kernels.halves import readable
from backprop_cli.engine.kernels.memory import LINE, aligned
from backprop_cli.engine.kernels.products import scores
from backprop_cli.engine.kernels.shapes import cut
from backprop_cli.engine.kernels.structures import CHUNK_BYTES, Examples
from backprop_cli.engine.kernels.tile import LANES, ROWS
from backprop_cli.losses.kernels import softmax_cross_entropy


def scores_by_tiles(x, rows, start, mean, W, first, last):
    """Return `scores` of some rows of x, and see that nothing else is written."""
    K, n_scores, m = len(W), -(-len(W) // ROWS) * ROWS, last - first
    S = np.full((len(rows) + 1, n_scores + 1), 7, np.float32)
    used = ROWS * -(-m // LANES) * LANES
    scratch = np.full(used + LANES, 7, np.float32)
    numbers, single = readable(x.reshape(-1)), np.zeros(1, np.float32)
    examples = Examples(
        numbers, np.zeros(1, np.intp), np.array([len(x)]), x.shape[1], np.zeros(len(x), np.int64),
        single, single[None], single, 1, 1,
    )  # fmt: skip
    scores(
        numbers, rows * x.shape[1], start, mean.astype(np.float32), W.astype(np.float32), first,
        last, scratch[:used].reshape(ROWS, -1), S, examples, rows[:2],
    )  # fmt: skip
    for untouched in (S[-1], S[:, -1], scratch[used:]):
        assert (untouched == 7).all()
    return S[:-1, :K]


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
    S = scores_by_tiles(x, rows, 3, mean, W, 2, 2 + m)
    expected = (x[rows, 3 : 3 + m].astype(float) - mean) @ W[:, 2 : 2 + m].T
    np.testing.assert_allclose(S, expected, atol=1e-5 * np.sqrt(m))


@pytest.mark.parametrize("m", [5, 48, 77, 300])
def test_equal_rows_have_equal_scores_wherever_they_are(m):
    """Equal classes tie, and a model of a sweep has the bits that it has alone."""
    rng = np.random.default_rng(m)
    x, mean = rng.standard_normal((9, m)).astype(np.float32), rng.standard_normal(m)
    W = np.tile(rng.standard_normal(m), (13, 1))
    S = scores_by_tiles(x, np.arange(9), 0, mean, W, 0, m)
    assert (S[:, :1] == S).all()
    assert len(np.unique(S)) == 9


@pytest.mark.parametrize(("lanes", "by_blas"), [(LANES, True), (LANES - 1, False)])
def test_the_blas_is_for_vectors_of_a_size(monkeypatch, lanes, by_blas):
    monkeypatch.setattr(shapes, "_BLAS_LANES", lanes)
    monkeypatch.setattr(blas, "product_address", lambda: 1)
    training = descent(data_of(200, 20, 64), engine="compiled", batch_size=64)
    assert bool(cut(training.stack.engine._task).product) == by_blas


@pytest.mark.parametrize("C", [2, 10, 37, 200])
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


@pytest.mark.parametrize("C", [2, 7, 16, 17, 33, 64, 200])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf])
def test_a_score_that_is_no_number_shows_in_the_loss_wherever_it_is(C, value):
    """Divergence is looked for in the loss. LLVM promises nothing of NaN in the largest score."""
    for k in range(C):
        s = np.random.default_rng(k).standard_normal(C).astype(np.float32)
        s[k] = value
        for label in (0, C - 1, k):
            assert np.isnan(softmax_cross_entropy(s.copy(), label, np.float32(0)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("d", "batch_size"), [(600, 256), (1009, 300), (1009, 600)])
def test_strips_of_features_and_chunks_of_examples(monkeypatch, d, batch_size, threads):
    """A thread's float32 features of 256 examples are more than meet all classes at once."""
    monkeypatch.setattr(thread_counts, "cores", lambda: 2)
    assert 256 * 4 * 600 / threads > CHUNK_BYTES
    data = data_of(700, d, 13, "float32")
    assert_same(data, {"learning_rate": 0.001}, threads=threads, batch_size=batch_size)


@pytest.mark.parametrize("shape", [(3, 7), (2, 3, 1000)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_arrays_begin_with_a_line_of_memory(shape, dtype):
    for _ in range(5):
        found = aligned(shape, dtype)
        assert (found.shape, found.dtype, found.ctypes.data % LINE) == (shape, dtype, 0)
        assert not found.any()
        assert found.flags.c_contiguous
