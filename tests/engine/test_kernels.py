"""What single kernels compute is what the formula gives in float64."""

import numpy as np
import pytest

from backprop_cli.engine import threads as thread_counts
from tests.engine.test_compiled import assert_same, data_of

pytest.importorskip("numba", reason="needs the extra: fast")
from backprop_cli.engine.kernels.halves import readable
from backprop_cli.engine.kernels.memory import LINE, aligned
from backprop_cli.engine.kernels.products import scores
from backprop_cli.engine.kernels.structures import CHUNK_BYTES, Examples
from backprop_cli.engine.kernels.tile import COLUMNS, ROWS
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
    own, mean_row = W.astype(np.float32), mean.astype(np.float32)
    scratch = np.full((ROWS, m + COLUMNS), np.nan, np.float32)
    numbers, places = readable(x.reshape(-1)), rows * x.shape[1]
    ends = np.array([n + 2])
    labels = np.zeros(n + 2, np.int64)
    examples = Examples(
        numbers, np.zeros(1, np.intp), ends, x.shape[1], labels, own[0], own, own[0], 1, 1
    )
    scores(numbers, places, 3, mean_row, own, 2, 2 + m, scratch, S, examples, rows[:2])
    expected = (x[rows, 3 : 3 + m].astype(float) - mean) @ W[:, 2 : 2 + m].T
    np.testing.assert_allclose(S[:, :K], expected, atol=1e-5 * np.sqrt(m))


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
