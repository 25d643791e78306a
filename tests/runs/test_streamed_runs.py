"""Runs whose features stay in their files: from the command, with all that comes after."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

N, D, C = 3000, 8, 3
RNG = np.random.default_rng(0)
Y = RNG.integers(0, C, N)
X = (RNG.normal(0, 1, (N, D)) + 1.2 * np.eye(C, D)[Y]).astype(np.float32)
FILES = ("model.safetensors", "config.yaml", "summary.json")


@pytest.fixture
def files(tmp_path):
    for k in range(3):
        np.save(tmp_path / f"x{k}.npy", X[1000 * k : 1000 * k + 1000])
    np.save(tmp_path / "y.npy", Y)
    return tmp_path


def config(folder, memory, output="run", features="x?.npy", labels="y.npy", more=""):
    path = folder / f"{output}.yaml"
    path.write_text(
        f"data: {{format: npy, path: '{folder}/{features}', labels: '{folder}/{labels}', "
        f"memory: {memory}, validation: 500, test: 500}}\n"
        f"training: {{epochs: 5, batch_size: 50, seed: 3}}\ncompute: {{threads: 1}}\n{more}"
        f"output: '{folder}/{output}'\n"
    )
    return path


def bytes_of(folder):
    left = {n: (folder / n).read_bytes().replace(str(folder).encode(), b"") for n in FILES}
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return {**left, "metrics": [{**json.loads(line), "seconds": 0} for line in lines]}


def test_a_run_says_how_its_examples_were_shuffled(run, files):
    status, out, err = run("train", "--config", config(files, "12 kB"))
    assert (status, err) == (0, "")
    assert "shuffle     182 blocks of 11 examples, in 14 buffers of 150 (data.memory)" in out
    summary = json.loads((files / "run" / "summary.json").read_text())
    assert summary["shuffle"] == {"block": 11, "buffer": 150, "examples": 2000}
    status, out, _ = run("train", "--config", config(files, "12 kB", "dry"), "--dry-run")
    assert "in 14 buffers of 150" in out
    status, out, _ = run("train", "--config", config(files, "1 MB", "whole"))
    assert (status, "shuffle" in out) == (0, False)
    assert json.loads((files / "whole" / "summary.json").read_text())["shuffle"] is None


@pytest.mark.parametrize("command", [["train"], ["sweep", "--grid", "l2=0,1"], ["probe"]])
def test_a_memory_of_no_two_mini_batches_is_refused_before_the_first_pass(run, files, command):
    """That pass takes minutes for large files; here it would complain of the NaN."""
    broken = X[:1000].copy()
    broken[0, 0] = np.nan
    np.save(files / "x0.npy", broken)
    words = [*command, "--config", config(files, "1 kB")]
    if command == ["probe"]:
        settings = ["data.memory=1 kB", "training.solver=sgd", "training.batch_size=50"]
        words = [*command, files / "x?.npy", files / "y.npy", "--output", files / "probe"]
        words += [word for setting in settings for word in ("--set", setting)]
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert err == (
        "Error: data.memory: expected 3200 bytes or more, which is two mini-batches, found 1000\n"
    )


def test_a_mini_batch_is_no_larger_than_the_training_split(run, files):
    """50 kB hold two mini-batches of the 800 examples that there are, not of 1000."""
    np.save(files / "few.npy", X[:800])
    np.save(files / "few_y.npy", Y[:800])
    path = config(files, "55 kB", features="few.npy", labels="few_y.npy")
    text = path.read_text().replace("validation: 500, test: 500", "validation: 0, "
        f"test: '{files}/x?.npy', test_labels: '{files}/y.npy'")  # fmt: skip
    path.write_text(text.replace("batch_size: 50,", "batch_size: 1000,"))
    status, _, err = run("train", "--config", path)
    assert (status, err) == (0, "")


def test_what_comes_after_a_run_reads_blocks_too(run, files, monkeypatch):
    """With the same weights, all figures are those of features in memory."""
    assert run("train", "--config", config(files, "12 kB"))[0] == 0
    shown = []
    for memory in ("12 kB", "all"):
        status, out, err = run("eval", files / "run", "--json", "--set", f"data.memory={memory}")
        assert (status, err) == (0, "")
        shown.append(json.loads(out))
        table = files / f"{memory}.csv"
        assert run("eval", files / "run", "--output", table)[0] == 0
    assert shown[0].pop("loss") == pytest.approx(shown[1].pop("loss"), rel=1e-6)
    assert shown[0] == shown[1]
    assert (files / "12 kB.csv").read_bytes() == (files / "all.csv").read_bytes()
    status, out, _ = run("predict", files / "run", "--input", files / "x1.npy",
                         "--output", files / "p.npy")  # fmt: skip
    assert status == 0
    assert np.load(files / "p.npy").shape == (1000, C)
    assert run("eval", files / "run", "--verify")[0] == 0
    assert run("report", files / "run")[0] == 0
    assert run("calibrate", files / "run")[0] == 0


def test_sweep_probe_and_gradcheck_read_blocks(run, files):
    path = config(files, "12 kB", "sweep")
    status, out, _ = run("sweep", "--config", path, "--grid", "l2=0,0.1", "--json")
    assert status == 0
    assert json.loads(out)["winner"]["shuffle"]["buffer"] == 150
    status, out, _ = run("gradcheck", "--config", config(files, "12 kB", "check"), "--samples", 10)
    assert status == 0
    status, out, _ = run("probe", files / "x?.npy", files / "y.npy", "--output", files / "probe",
                         "--set", "data.memory=12 kB", "--json")  # fmt: skip
    assert status == 0
    status, out, _ = run("probe", files / "x?.npy", files / "y.npy", "--output", files / "other",
                         "--json")  # fmt: skip
    found = [json.loads((files / n / "summary.json").read_text()) for n in ("probe", "other")]
    assert found[0]["train"]["cost"] == pytest.approx(found[1]["train"]["cost"], rel=1e-5)


def test_sorted_files_get_a_warning_and_shuffled_ones_none(run, files):
    order = np.argsort(Y, kind="stable")
    np.save(files / "x.npy", X[order])
    np.save(files / "sorted.npy", Y[order])
    own = {"features": "x.npy", "labels": "sorted.npy"}
    status, out, err = run("train", "--config", config(files, "12 kB", **own))
    assert status == 0
    assert err.startswith("Note: ")
    assert "sorted by class, and only 150 of 2000 are shuffled at once" in err
    assert "backprop data shuffle" in out
    words = ["data", "shuffle", files / "x.npy", files / "out", "--labels", files / "sorted.npy"]
    assert run(*words, "--memory", "12 kB")[0] == 0
    own = {"features": "out/features.npy", "labels": "out/labels.npy"}
    status, out, err = run("train", "--config", config(files, "12 kB", "again", **own))
    assert (status, err) == (0, "")
    status, out, err = run("train", "--config", config(files, "all", "whole", **own))
    assert (status, err) == (0, "")


def test_auto_is_recorded_and_kept(run, files, monkeypatch):
    monkeypatch.setattr("backprop_cli.formats.memory.free_memory", lambda: 24_000)
    assert run("train", "--config", config(files, "auto"))[0] == 0
    text = (files / "run" / "config.yaml").read_text()
    assert "memory: 12000\n" in text
    monkeypatch.setattr("backprop_cli.formats.memory.free_memory", lambda: 10**9)
    assert run("train", "--config", config(files, "auto", "other"))[0] == 0
    assert "memory: all\n" in (files / "other" / "config.yaml").read_text()
    assert (
        run("train", "--config", files / "run" / "config.yaml", "--output", files / "third")[0] == 0
    )
    one, other = bytes_of(files / "run"), bytes_of(files / "third")
    assert one["model.safetensors"] == other["model.safetensors"]


@pytest.mark.parametrize("value", ["0", "-1", "2 gigs", "true", "1.5", "[1]"])
def test_memory_that_is_no_size_is_refused(run, files, value):
    status, _, err = run("train", "--config", config(files, value))
    assert (status, err.count("\n")) == (2, 1)
    assert "data.memory: expected a size such as 2 GB" in err


def test_memory_for_less_than_two_mini_batches_is_refused(run, files):
    status, _, err = run("train", "--config", config(files, 3199))
    assert (status, err.count("\n")) == (2, 1)
    assert "data.memory: expected 3200 bytes or more" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(run, files, number):
    more = "l2: 0.01\n"
    path = config(files, "auto", "whole", more=more)
    words = [sys.executable, "-m", "backprop_cli", "train", "--set", "training.epochs=200"]
    memory = ["--set", "data.memory=12 kB"]
    subprocess.run([*words, "--config", path, *memory], check=True, capture_output=True)
    path = config(files, "auto", "run", more=more)
    stops = 0
    resume: list[str] = []
    for _ in range(3):
        with subprocess.Popen(
            [*words, "--config", path, *memory, *resume],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            while (
                not (files / "run" / "checkpoint.safetensors").exists() and process.poll() is None
            ):
                time.sleep(0.01)
            time.sleep(0.4)
            if process.poll() is None:
                os.kill(process.pid, number)
                stops += 1
        resume = ["--resume"]
        memory = []  # `auto`: goes on with what the run has
    assert stops
    if not (files / "run" / "summary.json").exists():
        done = subprocess.run(
            [*words, "--config", path, "--resume"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert bytes_of(files / "run") == bytes_of(files / "whole")


_PEAK = """
import pathlib, sys
from backprop_cli.cli.main import main
sys.argv = ["backprop", *sys.argv[1:]]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0
# ru_maxrss would count the process that started this one.
lines = pathlib.Path("/proc/self/status").read_text().splitlines()
print("peak", next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def peak(folder, n, memory, output):
    """Return the peak resident size of a training on n examples of 2 kB, in bytes."""
    features = np.random.default_rng(0).normal(0, 1, (n, 1000)).astype(np.float16)
    np.save(folder / "x.npy", features)
    np.save(folder / "y.npy", np.arange(n) % 2)
    path = config(folder, memory, output, "x.npy")
    words = [sys.executable, "-c", _PEAK, "train", "--config", path, "--set", "training.epochs=1",
             "--set", "training.learning_rate=0.001"]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return 1024 * int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_stays_below_the_limit(tmp_path):
    """80 MB of features; without them, the program takes as much as for 4 MB."""
    least = peak(tmp_path, 2000, "all", "least")
    assert peak(tmp_path, 40_000, "8 MB", "streamed") - least < 24_000_000
    assert peak(tmp_path, 40_000, "all", "whole") - least > 60_000_000
