"""Files that are changed while they are trained on: noticed, and told in one line."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.formats.inputs import read_inputs
from backprop_cli.runs import checkpoint
from backprop_cli.runs.run import Run
from backprop_cli.runs.run_directory import load_run
from backprop_cli.runs.sweep import Sweep
from backprop_cli.solvers.observer import Observer

N, D = 100_000, 64
MAX_SECONDS = 30  # from the change to the end; an epoch takes a fraction of a second


def write_in_place(path):
    with path.open("r+b") as file:
        file.seek(-4 * D, os.SEEK_END)
        file.write(np.zeros(D, np.float32).tobytes())


def replace(path):
    other = path.with_name("other.npy")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def remove(path):
    path.unlink()


def shorten(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def copy_over(path):
    """Write the same file anew, as cp does: for a moment it is shorter."""
    content = path.read_bytes()
    with path.open("wb") as file:
        file.write(content[: len(content) // 3])
        file.flush()
        time.sleep(0.5)
        file.write(content[len(content) // 3 :])


CHANGES = [write_in_place, replace, remove, shorten, empty, copy_over]


def config(folder, n, epochs, more=""):
    labels = np.arange(n) % 2
    x = np.random.default_rng(0).standard_normal((n, D), np.float32) + labels[:, None]
    np.save(folder / "x.npy", x.astype(np.float32))
    np.save(folder / "y.npy", labels)
    return (
        f"data: {{format: npy, path: '{folder}/x.npy', labels: '{folder}/y.npy'}}\n"
        f"training: {{epochs: {epochs}, batch_size: 100}}\noutput: '{folder}/run'\n{more}"
    )


@pytest.mark.skipif(os.name != "posix", reason="other systems lock files that are mapped")
@pytest.mark.parametrize(
    ("backend", "change"),
    [
        *(("numpy", change) for change in CHANGES),
        # What makes a mapped file end early, for kernels that read it themselves.
        *(("compiled", change) for change in (write_in_place, empty, copy_over)),
    ],
)
def test_while_a_process_trains(tmp_path, backend, change):
    if backend == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
        # A process that still compiles kernels ends only after that: have them in the cache.
        text = config(tmp_path, 400, 1, "compute: {backend: compiled}\n").replace(
            "/run'", "/first'"
        )
        Run(check_config(text, "test")).train(Observer())
    path = tmp_path / "config.yaml"
    path.write_text(config(tmp_path, N, 1_000_000, f"compute: {{backend: {backend}}}\n"))
    command = [sys.executable, "-m", "backprop_cli", "train", "--config", str(path)]
    history = tmp_path / "run" / "metrics.jsonl"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 120
        while not history.exists() and process.poll() is None:
            assert time.monotonic() < end, "no epoch has ended"
            time.sleep(0.05)
        change(tmp_path / "x.npy")
        out, err = process.communicate(timeout=MAX_SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out) == (2, ""), err
    lines = [line for line in err.splitlines() if not line.startswith("Compiling kernels")]
    assert len(lines) == 1, err
    assert lines[0].startswith(f"Error: {tmp_path / 'x.npy'}: "), err
    assert "was changed while" in err or "became shorter while" in err, err
    assert not (tmp_path / "run" / "summary.json").exists()


class ChangeAt(Observer):
    """Changes a file after so many steps; the end of an epoch counts as one."""

    def __init__(self, steps, change, path):
        self._left, self._change, self._path = steps, change, path

    def steps(self, number, loss, learning_rate):
        self._left -= 1
        if self._left == 0:
            self._change(self._path)

    def epoch(self, records):
        self.steps(1, None, None)


@pytest.mark.parametrize("change", [write_in_place, replace, remove])
@pytest.mark.parametrize("step", [0, 1, 2, 3, 4])
def test_between_the_survey_and_the_end(tmp_path, monkeypatch, change, step):
    """One epoch of three steps: before it, after each step, and after it, before the evaluation."""
    monkeypatch.setattr("backprop_cli.solvers.descent.Descent.max_work_at_once", 1.0)
    run = Run(check_config(config(tmp_path, 400, 1), "test"))
    if step == 0:
        change(tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"x\.npy: was changed while it was being read"):
        run.train(ChangeAt(step, change, tmp_path / "x.npy"))
    assert not (tmp_path / "run" / "summary.json").exists()


class StopAfter(ChangeAt):
    """Changes a file after so many steps, and interrupts the training there."""

    def steps(self, number, loss, learning_rate):
        super().steps(number, loss, learning_rate)
        if self._left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_no_checkpoint_is_written_after_a_change(tmp_path, monkeypatch, step):
    """Neither when one is due, which here is after every step, nor on an interrupt."""
    monkeypatch.setattr("backprop_cli.solvers.descent.Descent.max_work_at_once", 1.0)
    monkeypatch.setattr("backprop_cli.runs.pace.Pace.due", lambda self: True)
    folder = tmp_path / "run"
    for observer in (ChangeAt, StopAfter):
        shutil.rmtree(folder, ignore_errors=True)
        run = Run(check_config(config(tmp_path, 400, 1), "test"))
        written: list[bytes] = []

        def change(path, written=written):
            written += [file.read_bytes() for file in sorted(folder.glob("*.safetensors"))]
            replace(path)

        with pytest.raises(DataError, match=r"x\.npy: was changed while it was being read"):
            run.train(observer(step, change, tmp_path / "x.npy"))
        assert len(written) == 2  # the model and the checkpoint
        found = [file.read_bytes() for file in sorted(folder.glob("*.safetensors"))]
        assert found == written


def test_no_checkpoint_of_a_sweep_is_written_after_a_change(tmp_path, monkeypatch):
    monkeypatch.setattr("backprop_cli.solvers.descent.Descent.max_work_at_once", 1.0)
    plan = [check_config(config(tmp_path, 400, 2, f"l2: {l2}\n"), "test") for l2 in (0, 0.1)]
    sweep = Sweep(plan, [{"l2": 0}, {"l2": 0.1}])
    file, written = tmp_path / "run" / checkpoint.FILE_NAME, []

    def change(path):
        written.append(file.read_bytes())
        replace(path)

    with pytest.raises(DataError, match=r"x\.npy: was changed while it was being read"):
        sweep.run(StopAfter(3, change, tmp_path / "x.npy"))
    assert [file.read_bytes()] == written
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize("change", [write_in_place, replace, remove])
def test_between_the_last_checkpoint_and_the_evaluation(tmp_path, monkeypatch, change):
    run = Run(check_config(config(tmp_path, 400, 1), "test"))
    save = Run._save

    def save_and_change(self):
        save(self)
        if self.training.epochs_finished == 1 and (self.path / "model.safetensors").exists():
            change(tmp_path / "x.npy")

    monkeypatch.setattr("backprop_cli.runs.pace.Pace.due", lambda self: False)
    monkeypatch.setattr(Run, "_save", save_and_change)
    with pytest.raises(DataError, match=r"x\.npy: was changed while it was being read"):
        run.train(Observer())
    assert (tmp_path / "run" / checkpoint.FILE_NAME).exists()
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_file_that_stays_is_trained_on(tmp_path):
    run = Run(check_config(config(tmp_path, 400, 1), "test"))
    run.train(Observer())
    assert (tmp_path / "run" / "summary.json").exists()


def test_while_examples_are_classified(tmp_path):
    run = Run(check_config(config(tmp_path, 400, 1), "test"))
    run.train(Observer())
    opened, model = load_run(str(tmp_path / "run"))
    np.save(tmp_path / "new.npy", np.zeros((5, D), np.float32))
    np.save(tmp_path / "more.npy", np.zeros((5, D), np.float32))
    for names in (["new.npy"], ["more.npy", "new.npy"]):
        paths = [str(tmp_path / name) for name in names]
        _, source = read_inputs(paths, opened.data, model)
        assert model.predict(source, np.arange(5))[1].shape == (5,)
        write_in_place(tmp_path / "new.npy")
        with pytest.raises(DataError, match=r"new\.npy: was changed while it was being read"):
            model.predict(source, np.arange(5))
