"""Training by the compiled kernels and by NumPy ends at the same weights."""

import dataclasses
import importlib.util
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.engine import threads as thread_counts
from backprop_cli.errors import ConfigError, DivergedError
from backprop_cli.fitting import prepare
from backprop_cli.losses import LOSSES as REGISTERED
from backprop_cli.plan import Batches
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.schedules import Cosine
from backprop_cli.sources import ImageLayout, survey
from tests.make import dataset, descent, job, split, trained

pytest.importorskip("numba", reason="needs the extra: fast")
from backprop_cli.engine.kernels.halves import readable
from backprop_cli.engine.kernels.minibatch import descend
from backprop_cli.engine.kernels.products import gather
from backprop_cli.engine.kernels.structures import Examples

LOSSES = ["softmax_cross_entropy", "multiclass_svm"]


def data_of(n, d, n_classes, dtype="uint8", seed=0, image=None):
    """Return n of n + 5 rows of random numbers."""
    rng = np.random.default_rng(seed)
    low = -50 if dtype in ("int8", "int16", "float16", "float32") else 0
    features = rng.integers(low, low + 100, (n + 5, d)).astype(dtype)
    if dtype == "bool":
        features = rng.random((n + 5, d)) < 0.5
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n + 5)])[: n + 5]
    rows = np.concatenate([[0, 1], 2 + rng.permutation(n + 3)])[:n]  # two classes are among them
    return dataset(split(features, labels, np.sort(rows), image))


def assert_same(data, *models, threads=1, **common):
    """Float32 kernels and float32 NumPy lie within rounding of NumPy in float64."""
    validated = dataclasses.replace(data, validation=data.train)

    def of(engine, dtype):
        own = threads if engine == "compiled" else 1
        training = trained(validated, *models, engine=engine, dtype=dtype, threads=own, **common)
        names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
        figures = [[getattr(r, name) for name in names] for own in training.history for r in own]
        return training.state.W.astype(float), training.state.b.astype(float), np.array(figures)

    exact, numpy, compiled = (
        of("numpy", "float64"),
        of("numpy", "float32"),
        of("compiled", "float32"),
    )
    for true, one, other in zip(exact, numpy, compiled, strict=True):
        size = max(np.abs(true).max(), 1e-3)
        np.testing.assert_allclose(other, true, rtol=0, atol=2e-5 * size)
        np.testing.assert_allclose(one, true, rtol=0, atol=2e-5 * size)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(3, 60), st.integers(1, 140), st.integers(2, 13)),
    batch_size=st.integers(1, 70),
    # Kernels are compiled for each type, which takes most of this test's time.
    dtype=st.sampled_from(["uint8", "bool", "int16", "float16", "float32"]),
    momentum=st.sampled_from([0.0, 0.9]),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 5),
)
def test_softmax_of_any_shape(shape, batch_size, dtype, momentum, l2, seed):
    n, d, n_classes = shape
    own = {"batch_size": batch_size, "momentum": momentum, "l2": l2, "label_smoothing": 0.1}
    assert_same(data_of(max(n, n_classes), d, n_classes, dtype, seed), **own)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_size", [7, 100, 129, 300, 1000])
def test_mini_batches_of_one_piece_and_of_several(loss, batch_size):
    """Up to 128 examples are taken at once; 700 are several pieces, the last batch is short."""
    own = {"loss": loss, "batch_size": batch_size, "learning_rate": 0.003, "l2": 0.01}
    assert_same(data_of(700, 90, 7), **own)


def test_models_of_different_losses_rates_and_momentum():
    assert_same(
        data_of(300, 50, 6),
        {"loss": LOSSES[0], "label_smoothing": 0.2, "momentum": 0.9, "nesterov": True},
        {"loss": LOSSES[0], "l2": 0.05, "learning_rate": 0.1},
        {"loss": LOSSES[1], "momentum": 0.5, "learning_rate": 0.001},
        {"loss": LOSSES[1], "schedule": Cosine(0.0)},
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_validation_split_of_another_type(dtype):
    """Bytes to train on, and numbers half a unit above them beside them."""
    data = data_of(200, 70, 4)
    train = data.train
    above = (train.features + 0.5).astype(dtype)
    other = split(above, train.source.labels, train.rows)
    data = dataclasses.replace(data, validation=other)
    exact, found = (
        [record.validation_loss for record in training.history[0]]
        for training in (trained(data, dtype="float64"), trained(data, engine="compiled"))
    )
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_every_half_is_read_exactly():
    """All finite ones, subnormal ones and both zeros included."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    every = bits.view(np.float16)
    halves = every[np.isfinite(every)].reshape(1024, 62)
    nothing = np.zeros(0, np.float32)
    places = np.zeros(1, np.intp), np.array([1024])
    flat = readable(halves.reshape(-1))
    examples = Examples(flat, *places, 62, nothing, nothing, nothing[None], nothing, 1, 1)
    found = np.empty((1024, 62), np.float32)
    gather(examples, np.arange(1024), np.zeros(0, np.bool_), 0, 0, 62, False, found)
    np.testing.assert_array_equal(found, halves.astype(np.float64))
    np.testing.assert_array_equal(np.signbit(found), np.signbit(halves))


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_thousands_of_short_calls_lose_no_digits(momentum):
    """A step a call: what W is converted from and to must not add up."""
    data = data_of(60, 20, 3)
    weights = {}
    for engine, dtype in (("numpy", "float64"), ("numpy", "float32"), ("compiled", "float32")):
        training = descent(data, engine=engine, dtype=dtype, batch_size=60, momentum=momentum)
        batches = Batches(data.train.block(0, 60), np.array([0, 60]))
        rates, no_limit = np.full((1, 1), 1e-3, dtype), np.full(1, np.inf)
        for _ in range(3000):
            training.steps(training.state, batches, rates, no_limit)
        weights[engine, dtype] = training.state.W.astype(float)
    exact = weights["numpy", "float64"]
    for engine in ("numpy", "compiled"):
        error = np.abs(weights[engine, "float32"] - exact).max() / np.abs(exact).max()
        assert error < 1e-5, engine


@pytest.mark.parametrize("weights", ["balanced", [0.0, 1.0, 2.5]])
def test_class_weights(weights):
    assert_same(data_of(200, 40, 3), class_weights=weights)


@pytest.mark.parametrize("dtype", ["uint8", "float16"])
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 7), (3, 32, 32), (1, 28, 28)])
def test_mirrored_images(shape, interleaved, dtype):
    channels, height, width = shape
    image = ImageLayout(channels, height, width, interleaved)
    data = data_of(150, channels * height * width, 4, dtype, image=image)
    assert_same(data, horizontal_flips=True, learning_rate=0.001)


def test_engines_after_the_first_call_the_kernels_directly(monkeypatch):
    """numba falls back to its compiler, slowly, where a function is there twice."""
    data = data_of(300, 20, 3)
    for _ in range(3):
        trained(data, {}, engine="compiled")
    monkeypatch.setattr(type(descend), "_compile_for_args", None)
    trained(data, {}, engine="compiled")


def test_threads_share_the_work(monkeypatch):
    """More threads than cores are refused elsewhere; here they show that nothing is left out."""
    monkeypatch.setattr(thread_counts, "cores", lambda: 5)
    for threads in (2, 3, 5):
        assert_same(data_of(260, 1600, 5), learning_rate=0.001, threads=threads)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_bits_again(monkeypatch, threads):
    monkeypatch.setattr(thread_counts, "cores", lambda: 4)
    data = data_of(300, 1600, 10)
    one, two = (
        trained(data, engine="compiled", momentum=0.9, threads=threads).state.W for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [8, 300])
def test_the_loss_of_every_step(monkeypatch, threads, batch_size):
    """Many short steps, so that a thread may be a step ahead of another; and steps in pieces.

    Half of the images are mirrored, which every thread must know of its own ones. Rates are so
    high that losses tell of a wrong step before.
    """
    monkeypatch.setattr(thread_counts, "cores", lambda: 4)
    data = data_of(2000, 1600, 12, image=ImageLayout(1, 40, 40))
    found = {}
    for engine, dtype in (("numpy", "float64"), ("compiled", "float32")):
        training = descent(
            data,
            {"learning_rate": 1e-3},
            {"learning_rate": 1e-4, "loss": LOSSES[1]},
            engine=engine, dtype=dtype, threads=threads if engine == "compiled" else 1,
            batch_size=batch_size, horizontal_flips=True,
        )  # fmt: skip
        batches = training.plan.epoch(0)
        rates = training.solver.rates(0, len(batches)).astype(dtype)
        max_losses = np.full(2, 1e9)
        made, found[engine] = training.steps(training.state, batches, rates, max_losses)
        assert made == len(rates) == -(-2000 // batch_size)
    np.testing.assert_allclose(found["compiled"], found["numpy"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_a_loss_that_is_no_number_is_seen(engine):
    training = descent(data_of(100, 30, 4), engine=engine)
    training.state.b[0, 1] = np.nan
    with pytest.raises(DivergedError, match="the loss is nan at step 1 of epoch 1"):
        training.run(Observer())


@pytest.mark.parametrize("loss", LOSSES)
def test_divergence_is_seen_at_the_same_step(loss):
    """The first model's rate is absurd; the other one goes on as if it were alone."""
    data = data_of(200, 30, 4)
    told = []
    for engine in ("numpy", "compiled"):
        together = trained(data, {"learning_rate": 1e20}, {}, loss=loss, engine=engine)
        alone = trained(data, loss=loss, engine=engine)
        np.testing.assert_allclose(together.state.W[1], alone.state.W[0], rtol=1e-4, atol=1e-6)
        assert not together.state.W[0].any()
        told.append(together.diverged[0].split(", ")[0].split(" at ")[1])
    assert told[0] == told[1] == "step 2 of epoch 1"


def test_what_the_kernels_cannot_do_is_refused_or_left_to_numpy(monkeypatch):
    data = data_of(2000, 400, 10)

    def chosen(data, dtype="float32", engine="auto"):
        training = descent(data, engine=engine, dtype=dtype, batch_size=100, epochs=10_000)
        return training.engine_name

    assert chosen(data) == "compiled"
    assert chosen(data, "float64") == "numpy"
    wide = data_of(2000, 400, 10, "float64")
    assert chosen(wide) == "numpy"
    with pytest.raises(ConfigError, match=r"needs model\.dtype: float32, found float64"):
        chosen(data, "float64", "compiled")
    with pytest.raises(ConfigError, match=r"float32 holds exactly, found float64 \(the train"):
        chosen(wide, engine="compiled")
    other = dataclasses.replace(data, validation=data_of(90, 400, 10, ">f2").train)
    assert chosen(other) == "numpy"
    with pytest.raises(ConfigError, match=r"byte order, .* \(the validation split\)"):
        chosen(other, engine="compiled")
    halves = data_of(2000, 400, 10, "float16")
    assert chosen(halves) == "compiled"
    monkeypatch.setattr("backprop_cli.engine.kernels.halves.converts_halves", lambda: False)
    assert chosen(halves) == "numpy"
    with pytest.raises(ConfigError, match="needs a processor that converts float16"):
        chosen(halves, engine="compiled")
    offset = data_of(2000, 400, 10, "float32")
    offset.train.features[:, 7] += 1e8
    with pytest.raises(ConfigError, match="deviations that float32 holds closely"):
        chosen(offset, engine="compiled")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert chosen(data) == "numpy"
    with pytest.raises(ConfigError, match=r"install backprop-cli\[fast\]"):
        chosen(data, engine="compiled")


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_only_has_the_name_of_a_registered_one_has_no_kernel(name):
    """The kernel would compute the registered one."""
    data = data_of(2000, 400, 10)
    registered = REGISTERED[name]

    def half(S, Y):
        losses, G = registered.loss_gradient(S, Y)
        return losses / 2, G / 2

    def chosen(loss, engine):
        common, solver = job(engine=engine, batch_size=100, epochs=10_000)
        model = dataclasses.replace(common.models[0], loss=loss)
        return prepare(data, dataclasses.replace(common, models=(model,)), solver).engine_name

    assert chosen(registered, "auto") == chosen(registered, "compiled") == "compiled"
    own = dataclasses.replace(registered, loss_gradient=half)
    assert chosen(own, "auto") == "numpy"
    with pytest.raises(ConfigError, match=f"it is not the registered {name}"):
        chosen(own, "compiled")


def test_a_single_output_is_left_to_numpy():
    data = data_of(2000, 400, 2)
    common = {"single_output": True, "epochs": 10_000}
    assert descent(data, engine="auto", **common).engine_name == "numpy"
    with pytest.raises(ConfigError, match=r"needs model\.outputs: per_class, found 1"):
        descent(data, engine="compiled", **common)


def test_a_constant_feature_is_no_obstacle():
    """Its mean is large against its spread, which is taken for 1, and held exactly."""
    data = data_of(200, 40, 5)
    data.train.features[:, 3] = 255
    assert_same(data, learning_rate=0.001)


def test_a_small_job_is_left_to_numpy():
    assert descent(data_of(50, 10, 3), engine="auto").engine_name == "numpy"


def test_more_threads_than_cores_are_refused():
    with pytest.raises(ConfigError, match=r"compute\.threads: expected at most \d+, the number of"):
        descent(data_of(20, 3, 2), threads=1000)


def test_threads_that_cannot_start_are_one_error_and_no_hang(monkeypatch):
    import threading

    monkeypatch.setattr(thread_counts, "cores", lambda: 4)
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    data = data_of(50, 4000, 3)
    settings_of_models, solver = job(engine="compiled", threads=4)
    statistics = survey(data, "per_feature", "float32").standardization  # has a thread of its own
    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(ConfigError, match=r"compute\.threads: cannot start 4 threads"):
        prepare(data, settings_of_models, solver, standardization=statistics)
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()


INTERRUPTED = """\
import numpy as np
from backprop_cli.engine import threads
from backprop_cli.engine.kernels import engine as module

threads.cores = lambda: 2
from tests.engine.test_compiled import data_of, descent

training = descent(data_of(64, 4000, 3), engine="compiled", threads=2, batch_size=64)
engine, state = training.engine, training.state
assert engine._threads == 2
engine.wait() if not engine.prepare() else None
block = training.plan.epoch(0).block
before = engine.sums(state.W, state.b, block)
kernel = module.sums


def interrupted(thread, *arguments):
    if thread == 0:  # the other one is in the kernel, and waits there
        raise KeyboardInterrupt
    kernel(thread, *arguments)


module.sums = interrupted
for _ in range(20):
    try:
        engine.sums(state.W, state.b, block)
        raise AssertionError("was not interrupted")
    except KeyboardInterrupt:
        pass
module.sums = kernel
after = engine.sums(state.W, state.b, block)
for one, other in zip(before, after):
    np.testing.assert_array_equal(one, other)
print("went on")
"""


def test_an_interrupt_before_a_thread_joins_the_others_is_no_hang():
    root = str(pathlib.Path(__file__).parents[2])
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env={**os.environ, "PYTHONPATH": root}, timeout=120,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (process.stderr, process.stdout) == ("", "went on\n")


def test_features_that_are_not_row_by_row_are_refused_and_not_copied():
    training = descent(data_of(64, 20, 3), engine="compiled")
    block = training.plan.epoch(0).batch(0)
    other = block._replace(features=np.asfortranarray(block.features))
    with pytest.raises(ValueError, match="row by row"):
        training.engine.sums(training.state.W, training.state.b, other)
