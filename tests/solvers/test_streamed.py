"""Training on features that stay in their files: the same bits, or a shuffle within a buffer."""

import sys

import numpy as np
import pytest

from backprop_cli.errors import ConfigError
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import Dataset, Scattered, Source, Split
from tests.make import descent, stored_source, to_optimum, trained

N, D, C = 900, 6, 3
RNG = np.random.default_rng(3)
Y = np.arange(N) % C
X = (RNG.normal(0, 1, (N, D)) + 1.5 * np.eye(C, D)[Y]).astype(np.float32)
ROWS = RNG.permutation(N)
TRAIN, VALIDATION = np.sort(ROWS[:750]), np.sort(ROWS[750:])
ROW_BYTES = 4 * D


def parts(source):
    return Dataset(Split(source, TRAIN), Split(source, VALIDATION), None, tuple("abc"))


def in_memory():
    return parts(Source(X, Y, "memory"))


def in_file(folder, rows_in_memory, n_files=1):
    return parts(stored_source(folder, X, Y, rows_in_memory * ROW_BYTES, n_files))


@pytest.fixture(params=["in place", "copied"])
def way(request, monkeypatch):
    """How rows get from files to an engine."""
    if request.param == "in place":
        monkeypatch.setattr("backprop_cli.sources.stored._GAP", 1)  # blocks have a few rows here
    else:
        monkeypatch.setattr("backprop_cli.sources.stored.most_files", lambda: 0)
    return request.param


class Stop(Observer):
    """Interrupts after some steps."""

    def __init__(self, steps):
        self.left = steps

    def steps(self, number, loss, learning_rate):
        self.left -= number
        if self.left <= 0:
            raise KeyboardInterrupt


def state_of(training):
    return {**training.arrays(), "history": [r.train_loss for r in training.history[0]]}


def assert_same(one, other):
    for name, array in state_of(one).items():
        np.testing.assert_array_equal(array, state_of(other)[name], err_msg=name)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n_files", [1, 3])
@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_a_buffer_for_all_gives_the_bits_of_training_in_memory(tmp_path, engine, n_files):
    job = {"batch_size": 40, "epochs": 4, "momentum": 0.9, "engine": engine}
    assert_same(trained(in_memory(), **job), trained(in_file(tmp_path, 10**6, n_files), **job))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("engine", ["numpy", "compiled"])
def test_several_files_give_the_bits_of_one(tmp_path, engine):
    job = {"batch_size": 40, "epochs": 2, "engine": engine}
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert_same(trained(in_file(one, 160), **job), trained(in_file(other, 160, 3), **job))


@pytest.mark.skipif(sys.platform != "linux", reason="others copy all rows")
def test_the_blocks_of_an_epoch_are_used_in_place(tmp_path, way):
    data = in_file(tmp_path, 160, 3)
    block = next(data.train.source.blocks([(np.arange(0, 300), None)]))
    assert isinstance(block.features, Scattered) == (way == "in place")
    plan = descent(data, batch_size=40).plan
    found = {isinstance(part.block.features, Scattered) for _, part in plan.parts(0)}
    assert found == {way == "in place"}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("rows_in_memory", [200, 10**6])
def test_kernels_on_two_threads_take_rows_of_several_files(tmp_path, rows_in_memory):
    rng = np.random.default_rng(0)
    features = rng.normal(0, 1, (300, 600)).astype(np.float32)
    job = {"batch_size": 50, "epochs": 2, "engine": "compiled", "threads": 2}
    found = []
    for n_files in (1, 3):
        folder = tmp_path / str(n_files)
        folder.mkdir()
        source = stored_source(folder, features, Y[:300], rows_in_memory * 2400, n_files)
        train, validation = Split(source, np.arange(250)), Split(source, np.arange(250, 300))
        found.append(trained(Dataset(train, validation, None, tuple("abc")), **job))
    assert found[0].stack.engine._threads == 2
    assert_same(*found)


def test_lbfgs_gives_the_bits_of_training_in_memory(tmp_path):
    one, other = (
        to_optimum(data, l2=0.01, class_weights="balanced")
        for data in (in_memory(), in_file(tmp_path, 10**6))
    )
    np.testing.assert_array_equal(one.kept(0).W, other.kept(0).W)
    assert one.certificate(0) == other.certificate(0)
    assert one.certificate(0).relative_gap < 1e-8


def test_lbfgs_finds_the_optimum_with_little_memory(tmp_path):
    one = to_optimum(in_memory(), l2=0.01, dtype="float64", engine="numpy")
    other = to_optimum(in_file(tmp_path, 120), l2=0.01, dtype="float64", engine="numpy")
    np.testing.assert_allclose(one.kept(0).W, other.kept(0).W, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("engine", ["numpy", "compiled"])
@pytest.mark.parametrize("stop", [1, 5, 6, 7, 19, 30, 38, 50])
def test_training_goes_on_in_the_middle_of_an_epoch(tmp_path, monkeypatch, engine, stop):
    """19 steps per epoch, 6 in a buffer."""
    job = {"batch_size": 40, "epochs": 3, "momentum": 0.9, "engine": engine}
    data = in_file(tmp_path, 500)
    monkeypatch.setattr("backprop_cli.solvers.descent.Descent.max_steps_at_once", 1)
    whole = trained(data, **job)
    assert whole.plan.shuffle.buffer == 240
    first = descent(data, **job)
    with pytest.raises(KeyboardInterrupt):
        first.run(Stop(stop))
    second = descent(data, **job)
    second.restore(first.arrays(), first.progress())
    second.run(Observer())
    assert_same(whole, second)


def test_the_shuffle_in_a_buffer_trains_as_well(tmp_path):
    job = {"batch_size": 20, "epochs": 15, "learning_rate": 0.05, "keep": "last"}
    one, other = trained(in_memory(), **job), trained(in_file(tmp_path, 200), **job)
    figures = [t.history[0][-1] for t in (one, other)]
    assert figures[1].train_loss == pytest.approx(figures[0].train_loss, rel=0.02)
    assert not np.array_equal(one.state.W, other.state.W)


def test_memory_for_less_than_two_mini_batches_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.memory: expected 1920 bytes or more"):
        descent(in_file(tmp_path, 79), batch_size=40)
    assert descent(in_file(tmp_path, 80), batch_size=40).plan.shuffle.buffer == 40
