"""Where W has many rows, the kernels' products are made by the BLAS, for the same results."""

import threading

import numpy as np
import pytest

from backprop_cli import blas
from backprop_cli.engine import threads as thread_counts
from backprop_cli.plan import Batches
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import ImageLayout
from tests.engine.test_compiled import LOSSES, assert_same, data_of
from tests.make import descent, trained

pytest.importorskip("numba", reason="needs the extra: fast")
from backprop_cli.engine.kernels import engine as kernels
from backprop_cli.engine.kernels import shapes
from backprop_cli.engine.kernels.minibatch import descend as descend_by_kernels
from backprop_cli.engine.kernels.products import gradient_rows, scores_by_blas
from backprop_cli.engine.kernels.tile import LANES

needs_openblas = pytest.mark.skipif(
    not blas.product_address(), reason="needs the BLAS of NumPy's wheels"
)
MANY = 70  # classes, that the BLAS is taken for
MODELS = (
    {"loss": LOSSES[0], "l2": 0.05, "learning_rate": 0.01},
    {"loss": LOSSES[1], "momentum": 0.5, "learning_rate": 0.001},
    {"loss": LOSSES[0], "momentum": 0.9, "nesterov": True, "learning_rate": 0.003},
)


@pytest.fixture(autouse=True)
def whatever_vectors_the_processor_has(monkeypatch):
    monkeypatch.setattr(shapes, "_BLAS_LANES", LANES)


@pytest.fixture
def small_pieces(monkeypatch):
    """Let a mini-batch of 300 be taken in five pieces."""
    monkeypatch.setattr(shapes, "PIECE", 64)
    monkeypatch.setattr(shapes, "_BLAS_PIECE", 64)


@needs_openblas
@pytest.mark.parametrize(("n", "m", "K"), [(1, 1, 1), (3, 17, 70), (130, 40, 9)])
def test_products_are_those_of_float64(n, m, K):
    """Of parts of larger arrays, whose other numbers are not used and not written."""
    rng = np.random.default_rng(n)
    mean, W, x, G = (
        rng.standard_normal(shape).astype(np.float32) for shape in (m, (K, m), (n, m), (n, K))
    )
    wide_W, wide_x = np.full((K, m + 5), np.nan, "f"), np.full((n + 2, m + 3), np.nan, "f")
    wide_W[:, 2 : 2 + m], wide_x[:n, :m] = W, x
    S, dW = np.full((n + 1, K + 1), 7, "f"), np.full((K, m + 4), 7, "f")
    address = blas.product_address()
    scores_by_blas(address, wide_x, n, wide_W, 2, 2 + m, 0.5, S)
    own = x.astype(float)
    np.testing.assert_allclose(S[:n, :K], own @ W.T.astype(float) + 3.5, atol=1e-5 * np.sqrt(m))
    gradient_rows(address, G, wide_x, mean, n, 0, m, dW)
    np.testing.assert_allclose(dW[:, :m], G.T.astype(float) @ own, atol=1e-5 * np.sqrt(n))
    for untouched in (S[n], S[:, K], dW[:, m:]):
        assert (untouched == 7).all()


@pytest.mark.parametrize("by_blas", [pytest.param(True, marks=needs_openblas), False])
@pytest.mark.parametrize(("dtype", "threads"), [("uint8", 1), ("float16", 2), ("float32", 3)])
def test_three_models(monkeypatch, small_pieces, dtype, threads, by_blas):
    """More rows than are made at once; several pieces of a mini-batch, and the last is short."""
    monkeypatch.setattr(thread_counts, "cores", lambda: 3)
    if not by_blas:
        monkeypatch.setattr(blas, "product_address", lambda: 0)
    data = data_of(700, 50 * threads, 67, dtype)
    assert_same(data, *MODELS, threads=threads, batch_size=300)


@needs_openblas
@pytest.mark.parametrize("own", [{}, {"momentum": 0.9}, {"l2": 0.1}, {"class_weights": "balanced"}])
@pytest.mark.parametrize("n_classes", [MANY, 251])
def test_one_model(n_classes, own):
    """Without momentum and l2, W moves within the product."""
    assert_same(data_of(500, 70, n_classes), batch_size=100, learning_rate=0.02, **own)


@needs_openblas
def test_pieces_of_one_model(small_pieces):
    assert_same(data_of(700, 70, MANY), batch_size=300, learning_rate=0.02)


@needs_openblas
@pytest.mark.parametrize("n_classes", [100, 251])
def test_models_without_momentum(n_classes):
    """Rows that are made at once are of one model, or of two."""
    models = {"learning_rate": 0.02}, {"learning_rate": 0.01, "loss": LOSSES[1]}
    assert_same(data_of(500, 70, n_classes), *models, batch_size=100)


@needs_openblas
def test_several_blocks_of_features_for_each_thread(monkeypatch):
    monkeypatch.setattr(thread_counts, "cores", lambda: 2)
    data = data_of(300, 3100, MANY, "float32")
    assert_same(data, {"learning_rate": 1e-3}, threads=2, batch_size=100)


@needs_openblas
def test_mirrored_images():
    data = data_of(300, 3 * 8 * 8, MANY, image=ImageLayout(3, 8, 8))
    assert_same(data, batch_size=100, learning_rate=0.003, horizontal_flips=True)


@needs_openblas
def test_a_small_decay_is_not_lost():
    """1 - 2 eta lambda is 1 in float32."""
    eta, l2, steps = 1e-3, 1e-5, 2000
    data = data_of(64, 20, MANY)
    shrunk = {}
    for engine, dtype in (("numpy", "float64"), ("compiled", "float32")):
        W = {}
        for own in (0.0, l2):
            training = descent(data, engine=engine, dtype=dtype, batch_size=64, l2=own)
            batches = Batches(data.train.block(0, 64), np.array([0, 64]))
            start = training.state.W.astype(float)
            for _ in range(steps // 100):
                more = Batches(
                    batches.block._replace(rows=np.tile(batches.block.rows, 100)),
                    np.arange(0, 6401, 64),
                )
                training.steps(
                    training.state, more, np.full((100, 1), eta, dtype), np.full(1, np.inf)
                )
            W[own] = training.state.W.astype(float)
        shrunk[engine] = ((W[0.0] - W[l2]) * start).sum() / (start**2).sum()
    assert shrunk["compiled"] == pytest.approx(shrunk["numpy"], rel=0.05)
    assert shrunk["numpy"] == pytest.approx(2 * eta * l2 * steps, rel=0.2)


@needs_openblas
def test_nothing_moves_in_a_step_that_runs_away():
    training = descent(data_of(300, 30, MANY), engine="compiled", batch_size=100)
    before = {name: array.copy() for name, array in training.state.arrays().items()}
    batches = training.plan.epoch(0)
    rates = np.full((len(batches), 1), 0.1, "f")
    made, losses = training.steps(training.state, batches, rates, np.zeros(1))
    assert (made, len(losses)) == (0, 1)
    for name, array in training.state.arrays().items():
        np.testing.assert_array_equal(array, before[name])


@needs_openblas
def test_nothing_moves_after_an_interrupt(monkeypatch):
    """The other thread does not go on alone, with what the first one has left."""
    monkeypatch.setattr(thread_counts, "cores", lambda: 2)
    training = descent(data_of(300, 1600, MANY), engine="compiled", batch_size=100, threads=2)
    if not training.engine.prepare():
        training.engine.wait()

    def interrupted(thread, *arguments):
        if thread == 0:
            raise KeyboardInterrupt
        return descend_by_kernels(thread, *arguments)

    monkeypatch.setattr(kernels, "descend", interrupted)
    before = training.state.W.copy()
    batches = training.plan.epoch(0)
    rates = np.full((len(batches), 1), 0.1, "f")
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt):
            training.steps(training.state, batches, rates, np.full(1, np.inf))
        np.testing.assert_array_equal(training.state.W, before)


@needs_openblas
def test_models_that_leave_until_tiles_are_faster():
    """Seven models have 70 rows; six of them 60."""
    data = data_of(400, 30, 10)
    models = [{"learning_rate": 1e20}] + [{"learning_rate": 0.01 / k} for k in range(1, 7)]
    found = {}
    for engine, dtype in (("numpy", "float64"), ("compiled", "float32")):
        training = trained(data, *models, engine=engine, dtype=dtype, batch_size=100)
        assert [told is not None for told in training.diverged] == [True] + 6 * [False]
        found[engine] = training.state.W.astype(float)
    np.testing.assert_allclose(found["compiled"], found["numpy"], atol=1e-5)


@needs_openblas
@pytest.mark.parametrize("own", [{}, {"momentum": 0.9}])
def test_the_same_bits_again(monkeypatch, own):
    monkeypatch.setattr(thread_counts, "cores", lambda: 4)
    data = data_of(300, 1600, MANY)
    one, two = (
        trained(data, engine="compiled", batch_size=100, threads=4, **own).state.W for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)


@needs_openblas
def test_the_blas_has_one_thread_in_the_kernels(monkeypatch):
    """Also in those of a second Python thread, whatever the first one does."""
    monkeypatch.setattr(thread_counts, "cores", lambda: 2)
    training = descent(data_of(300, 30, MANY), engine="compiled", batch_size=100)
    if not training.engine.prepare():
        training.engine.wait()
    found, threads = [], blas._openblas()._get

    def seen(*arguments):
        with blas.limited(2):
            found.append(threads())
        found.append(threads())
        return descend_by_kernels(*arguments)

    monkeypatch.setattr(kernels, "descend", seen)
    with blas.limited(2):
        other = threading.Thread(target=training.run, args=[Observer()])
        other.start()
        other.join()
        assert threads() == 2
    assert found
    assert set(found) == {1}


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
