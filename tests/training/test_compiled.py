"""The compiled kernels and NumPy are the same function of the same arguments."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.cli.main import cli
from backprop_cli.config import check_config
from backprop_cli.errors import ConfigError, DivergedError
from backprop_cli.solvers import compute
from backprop_cli.solvers.loop import Observer, Trainer
from backprop_cli.sources.dataset import Dataset, Split

pytest.importorskip("numba", reason="needs the extra: fast")
LOSSES = ["softmax_cross_entropy", "multiclass_svm"]


def config(backend="compiled", dtype="float32", threads=1, loss=LOSSES[0], l2=0.0, **training):
    training = {"batch_size": 32, "epochs": 2, "learning_rate": 0.01, **training}
    smoothing = training.pop("label_smoothing", 0.0)
    return check_config(
        json.dumps(
            {
                "data": {"format": "npy", "path": "x", "labels": "y", "validation": 0},
                "model": {"dtype": dtype},
                "loss": loss,
                "l2": l2,
                "label_smoothing": smoothing,
                "training": training,
                "compute": {"backend": backend, "threads": threads},
            }
        ),
        "test",
    )


def dataset(n, d, n_classes, dtype="uint8", seed=0, image_shape=None):
    rng = np.random.default_rng(seed)
    least = -50 if dtype in ("int8", "int16", "float32") else 0
    pixels = rng.integers(least, least + 100, (n + 5, d)).astype(dtype)
    if dtype == "bool":
        pixels = rng.random((n + 5, d)) < 0.5
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n + 5)])[: n + 5]
    rows = np.sort(rng.permutation(n + 5)[:n])
    return Dataset(
        Split(pixels, labels, rows), None, None, tuple(map(str, range(n_classes))), image_shape
    )


def trained(data, *configs):
    trainer = Trainer(data, configs)
    records = []

    class Keep(Observer):
        def epoch(self, found):
            names = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
            records.append([[getattr(r, name) or 0 for name in names] for r in found if r])

    trainer.run(Keep())
    return trainer, np.array(records, float)


def assert_same(data, *settings_of_models, threads=1):
    """Float32 kernels and float32 NumPy lie within rounding of NumPy in float64."""

    validated = dataclasses.replace(data, validation=data.train)

    def of(backend, dtype):
        configs = [
            config(backend, dtype, threads if backend == "compiled" else 1, **own)
            for own in settings_of_models
        ]
        trainer, losses = trained(validated, *configs)
        return trainer.engine.W.astype(float), trainer.engine.b.astype(float), losses

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
    n=st.integers(3, 60),
    d=st.integers(1, 140),
    n_classes=st.integers(2, 13),
    batch_size=st.integers(1, 70),
    dtype=st.sampled_from(["uint8", "int8", "bool", "uint16", "int16", "float32"]),
    momentum=st.sampled_from([0.0, 0.9]),
    l2=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 5),
)
def test_softmax_of_any_shape(n, d, n_classes, batch_size, dtype, momentum, l2, seed):
    own = {"batch_size": batch_size, "momentum": momentum, "l2": l2, "label_smoothing": 0.1}
    assert_same(dataset(max(n, n_classes), d, n_classes, dtype, seed), own)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("batch_size", [7, 100, 129, 300, 1000])
def test_mini_batches_of_one_piece_and_of_several(loss, batch_size):
    """Up to 128 examples are taken at once; 700 are several pieces, the last batch is short."""
    own = {"loss": loss, "batch_size": batch_size, "learning_rate": 0.003, "l2": 0.01}
    assert_same(dataset(700, 90, 7), own)


def test_models_of_different_losses_rates_and_momentum():
    assert_same(
        dataset(300, 50, 6),
        {"loss": LOSSES[0], "label_smoothing": 0.2, "momentum": 0.9, "nesterov": True},
        {"loss": LOSSES[0], "l2": 0.05, "learning_rate": 0.1},
        {"loss": LOSSES[1], "momentum": 0.5, "learning_rate": 0.001},
        {"loss": LOSSES[1], "schedule": {"kind": "cosine"}},
    )


def test_a_validation_split_of_another_type():
    """Bytes to train on, and the same numbers as float32, some halves among them, beside them."""
    data = dataset(200, 70, 4)
    other = dataclasses.replace(data.train, features=data.train.features.astype(np.float32) + 0.5)
    data = dataclasses.replace(data, validation=other)
    (_, exact), (_, found) = (
        trained(data, config("numpy", "float64")),
        trained(data, config("compiled")),
    )
    np.testing.assert_allclose(found, exact, rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_thousands_of_short_calls_lose_no_digits(momentum):
    """A step a call: what W is converted from and to must not add up."""
    data = dataset(60, 20, 3)
    rows, largest = np.arange(60), np.full(1, np.inf)
    weights = {}
    for backend, dtype in (("numpy", "float64"), ("numpy", "float32"), ("compiled", "float32")):
        own = config(backend, dtype, batch_size=60, learning_rate=1e-3, momentum=momentum)
        trainer = Trainer(data, [own])
        rates = np.full((1, 1), 1e-3, dtype)
        for _ in range(3000):
            trainer._steps.train(rows, None, rates, largest)
        weights[backend, dtype] = trainer.engine.W.astype(float)
    exact = weights["numpy", "float64"]
    for backend in ("numpy", "compiled"):
        error = np.abs(weights[backend, "float32"] - exact).max() / np.abs(exact).max()
        assert error < 1e-5, backend


@pytest.mark.parametrize("weights", ["balanced", [0.0, 1.0, 2.5]])
def test_class_weights(weights):
    assert_same(dataset(200, 40, 3), {"class_weights": weights})


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 7), (3, 32, 32), (1, 28, 28)])
def test_mirrored_images(shape):
    data = dataset(150, int(np.prod(shape)), 4, image_shape=shape)
    assert_same(data, {"horizontal_flips": True, "learning_rate": 0.001})


def test_threads_share_the_work(monkeypatch):
    """More threads than cores are refused elsewhere; here they show that nothing is left out."""
    monkeypatch.setattr(compute, "cores", lambda: 5)
    for threads in (2, 3, 5):
        assert_same(dataset(260, 1600, 5), {"learning_rate": 0.001}, threads=threads)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_bits_again(monkeypatch, threads):
    monkeypatch.setattr(compute, "cores", lambda: 4)
    data = dataset(300, 1600, 10)
    one, two = (trained(data, config(momentum=0.9, threads=threads))[0].engine.W for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [8, 300])
def test_the_loss_of_every_step(monkeypatch, threads, batch_size):
    """Many short steps, so that a thread may be a step ahead of another; and steps in pieces.

    Half of the images are mirrored, which every thread must know of its own ones. Rates are so
    high that losses tell of a wrong step before.
    """
    monkeypatch.setattr(compute, "cores", lambda: 4)
    data = dataset(2000, 1600, 12, image_shape=(1, 40, 40))
    flags = np.random.default_rng(0).random(2000) < 0.5
    found = {}
    for backend, dtype in (("numpy", "float64"), ("compiled", "float32")):
        number = threads if backend == "compiled" else 1
        common = {"threads": number, "batch_size": batch_size, "horizontal_flips": True}
        models = [
            config(backend, dtype, learning_rate=1e-3, **common),
            config(backend, dtype, learning_rate=1e-4, loss=LOSSES[1], **common),
        ]
        trainer = Trainer(data, models)
        trainer._steps.prepare(lambda: None)
        rates = trainer._epoch_rates(0).astype(dtype)
        most = np.full(2, 1e9)
        made, found[backend] = trainer._steps.train(data.train.rows, flags, rates, most)
        assert made == len(rates) == -(-2000 // batch_size)
    np.testing.assert_allclose(found["compiled"], found["numpy"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_a_loss_that_is_no_number_is_seen(backend):
    trainer = Trainer(dataset(100, 30, 4), [config(backend)])
    trainer.engine.b[0, 1] = np.nan
    with pytest.raises(DivergedError, match="the loss is nan at step 1 of epoch 1"):
        trainer.run(Observer())


@pytest.mark.parametrize("loss", LOSSES)
def test_divergence_is_seen_at_the_same_step(loss):
    """The first model's rate is absurd; the other one goes on as if it were alone."""
    data = dataset(200, 30, 4)
    bad = {"loss": loss, "learning_rate": 1e20, "batch_size": 32}
    good = {"loss": loss, "batch_size": 32}
    told = []
    for backend in ("numpy", "compiled"):
        together, _ = trained(data, config(backend, **bad), config(backend, **good))
        alone, _ = trained(data, config(backend, **good))
        np.testing.assert_allclose(together.engine.W[1], alone.engine.W[0], rtol=1e-4, atol=1e-6)
        assert not together.engine.W[0].any()
        told.append(together.diverged[0].split(", ")[0].split(" at ")[1])
    assert told[0] == told[1] == "step 2 of epoch 1"


def test_what_the_kernels_cannot_do_is_refused_or_left_to_numpy(monkeypatch):
    big = {"batch_size": 100, "epochs": 10_000}
    data = dataset(2000, 400, 10)

    def chosen(data, dtype="float32", backend="auto"):
        return Trainer(data, [config(backend, dtype, **big)]).compute.backend

    assert chosen(data) == "compiled"
    assert chosen(data, "float64") == "numpy"
    wide = dataset(2000, 400, 10, "float64")
    assert chosen(wide) == "numpy"
    with pytest.raises(ConfigError, match=r"needs model\.dtype: float32, found float64"):
        chosen(data, "float64", "compiled")
    with pytest.raises(ConfigError, match=r"float32 holds exactly, found float64 \(the train"):
        chosen(wide, backend="compiled")
    other = dataclasses.replace(data, validation=dataset(90, 400, 10, "float16").train)
    with pytest.raises(ConfigError, match=r"cannot read float16 \(the validation split\)"):
        chosen(other, backend="compiled")
    offset = dataset(2000, 400, 10, "float32")
    offset.train.features[:, 7] += 1e8
    with pytest.raises(ConfigError, match="means that float32 holds closely"):
        chosen(offset, backend="compiled")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert chosen(data) == "numpy"
    with pytest.raises(ConfigError, match=r"install backprop-cli\[fast\]"):
        chosen(data, backend="compiled")


def test_a_constant_feature_is_no_obstacle():
    """Its mean is large against its spread, which is taken for 1, and held exactly."""
    data = dataset(200, 40, 5)
    data.train.features[:, 3] = 255
    assert_same(data, {"learning_rate": 0.001})


def test_a_small_job_is_left_to_numpy():
    assert Trainer(dataset(50, 10, 3), [config("auto")]).compute.backend == "numpy"


def test_more_threads_than_cores_are_refused(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.eye(20), y=np.arange(20) % 2)
    (tmp_path / "c.yaml").write_text(
        f"data: {{format: npy, path: '{tmp_path}/d.npz'}}\ncompute: {{threads: 1000}}\n"
    )
    result = CliRunner().invoke(cli, ["train", "--config", str(tmp_path / "c.yaml")])
    assert isinstance(result.exception, ConfigError)
    assert "compute.threads: expected at most" in str(result.exception)


def test_threads_that_cannot_start_are_one_error_and_no_hang(monkeypatch):
    import threading

    monkeypatch.setattr(compute, "cores", lambda: 4)
    start = threading.Thread.start
    started = []

    def start_two(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(ConfigError, match=r"compute\.threads: cannot start 4 threads"):
        Trainer(dataset(50, 4000, 3), [config(threads=4)])
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()
