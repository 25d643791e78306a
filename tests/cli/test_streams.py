"""stdout, stderr and signals, as a process of its own meets them."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

COMMAND = [sys.executable, "-m", "backprop_cli"]


@pytest.fixture
def trained(run, config, tmp_path):
    assert run("train", "--config", config())[0] == 0
    return tmp_path / "run"


def process(*args, **options):
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    return subprocess.run(
        [*COMMAND, *map(str, args)], text=True, timeout=60, check=False, **options
    )


@pytest.mark.parametrize("closed", [1, 2])
def test_a_stream_that_is_closed_from_the_start(trained, config, closed, tmp_path):
    """``backprop ... >&-``, as some schedulers start programs."""
    streams = {"preexec_fn": lambda: os.close(closed), ("stdout", "stderr")[closed - 1]: None}
    done = process("train", "--config", config(), "--output", tmp_path / "new", **streams)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert (tmp_path / "new" / "summary.json").exists()
    assert process("eval", trained, **streams).returncode == 0
    assert process("eval", tmp_path / "none", **streams).returncode == 2


@pytest.mark.parametrize("args", [("eval", "RUN", "--json"), ("--help",), ("train", "--help")])
def test_a_reader_that_has_left_is_no_failed_check(trained, args):
    """Exit status 1 says that gradients disagree: a closed pipe must not."""
    reader, writer = os.pipe()
    os.close(reader)
    done = process(*(trained if arg == "RUN" else arg for arg in args), stdout=writer)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode != 1


@pytest.mark.parametrize("args", [("eval", "RUN"), ("--help",), ("--version",)])
def test_a_full_disk_behind_stdout_is_one_line(trained, args):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, not a path of ours
        done = process(*(trained if arg == "RUN" else arg for arg in args), stdout=full)
    assert done.returncode == 2
    assert done.stderr == "Error: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-8:strict"])
def test_names_that_stdout_cannot_spell(config, encoding, tmp_path):
    done = process(
        "train", "--config", config(), "--set", "data.classes=[čaj, 漢字, '😀']",
        "--output", tmp_path / "výstup ☃", env={**os.environ, "PYTHONIOENCODING": encoding},
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    done = process(
        "eval", tmp_path / "výstup ☃", env={**os.environ, "PYTHONIOENCODING": encoding},
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_path_that_is_no_text(config, tmp_path):
    """Names of files are bytes; one of them here is no UTF-8. The run does all that others do."""
    output, moved = (os.fsencode(tmp_path) + name for name in (b"/run \xff", b"/run \xfe"))
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}

    def done(*arguments):
        found = subprocess.run(
            [*COMMAND, *arguments], capture_output=True, timeout=60, check=False, env=strict
        )
        assert (found.returncode, found.stderr) == (0, b""), arguments
        return found.stdout

    np.save(tmp_path / "in.npy", np.zeros((2, 4)))
    done("train", "--config", str(config()), "--output", output)
    done("eval", output, "--verify")
    done("predict", output, "--input", str(tmp_path / "in.npy"))
    pathlib.Path(os.fsdecode(output)).rename(os.fsdecode(moved))
    assert strict_json(done("eval", moved, "--json").decode())["examples"] == 12
    done("report", moved, "--text")
    done("calibrate", moved)


def test_a_run_whose_path_is_no_text_goes_on_as_it_says(config, tmp_path):
    """The command that is suggested is a word for the shell, whatever bytes the name has."""
    output = os.fsencode(tmp_path) + b"/run \xff"
    process_ = subprocess.Popen(
        [*COMMAND, "train", "--config", str(config()), "--output", output, "--set",
         "training.epochs=100000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (pathlib.Path(os.fsdecode(output)) / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process_.send_signal(signal.SIGTERM)
    _, err = process_.communicate(timeout=60)
    assert process_.returncode == 143
    assert err.isascii()
    how = err.strip().partition("To go on: backprop ")[2]
    again = subprocess.Popen(
        ["bash", "-c", f"exec {sys.executable} -m backprop_cli {how}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(3)
    again.send_signal(signal.SIGTERM)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 143, err
    assert "To go on" in err or err == "Terminated.\n"


def test_spaces_and_letters_in_every_path(run, config, tmp_path, monkeypatch):
    folder = tmp_path / "a folder" / "mit Größe ☃"
    folder.mkdir(parents=True)
    file = folder / "a config.yaml"
    file.write_text(config().read_text().replace(f"{tmp_path}/", f"{folder}/"))
    (tmp_path / "d.npz").rename(folder / "d.npz")
    status, out, err = run("train", "--config", file, "--output", folder / "my run", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["run"] == str(folder / "my run")
    monkeypatch.chdir("/")
    assert run("eval", folder / "my run")[0] == 0


def test_a_run_holds_from_any_folder(run, config, tmp_path, monkeypatch):
    file = config()
    file.write_text(file.read_text().replace(f"{tmp_path}/", ""))  # all paths relative
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("train", "--config", "config.yaml")
    assert status == 0
    assert ["run", "run"] in [line.split() for line in out.splitlines()]
    first = (tmp_path / "run" / "model.safetensors").read_bytes()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("eval", "../run")[0] == 0
    assert run("train", "--config", "../run/config.yaml", "--output", "again")[0] == 0
    assert (tmp_path / "elsewhere" / "again" / "model.safetensors").read_bytes() == first
    assert run("train", "--config", "../run/config.yaml")[0] == 2  # that run is there already


@pytest.mark.parametrize(
    "more",
    [
        "", "loss: multiclass_svm\nl2: 0.1\n", "label_smoothing: 0.1\n",
        "model: {dtype: float64}\n",
        "model: {initial_std: 0}\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("overrides", [[], ["training.class_weights=balanced",
    "training.momentum=0.9", "training.nesterov=true", "training.schedule={kind: cyclical}",
    "data.limit=20", "data.stratified=true", "training.early_stopping={patience: 1}"]])  # fmt: skip
def test_training_from_a_runs_config_gives_the_same_bytes(run, config, more, overrides, tmp_path):
    options = [word for override in overrides for word in ("--set", override)]
    assert run("train", "--config", config(more), *options)[0] == 0
    again = tmp_path / "again"
    assert run("train", "--config", tmp_path / "run" / "config.yaml", "--output", again)[0] == 0
    for name in ("model.safetensors",):
        assert (again / name).read_bytes() == (tmp_path / "run" / name).read_bytes()

    def history(folder):
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return [{**json.loads(line), "seconds": None} for line in lines]

    assert history(again) == history(tmp_path / "run")


def strict_json(text):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_one_object_on_one_stream(run, config, trained):
    file = config()
    for args in (
        ("train", "--config", file, "--set", f"output={trained}2"),
        ("train", "--config", file, "--dry-run"),
        ("eval", trained),
        ("eval", trained, "--split", "train"),
        ("gradcheck", "--config", file),
    ):
        status, out, err = run(*args, "--json")
        assert (status, err) == (0, "")
        assert out.endswith("}\n")
        assert isinstance(strict_json(out), dict)


def test_json_of_figures_that_are_not_finite_is_still_json(run, config, tmp_path):
    """NaN and Infinity are words of Python, not of JSON."""
    assert run("train", "--config", config(), "--set", "data.standardize=none")[0] == 0
    x = np.full((60, 4), 3e38)
    np.savez(tmp_path / "big.npz", x=x * np.where(np.arange(4) % 2, 1, -1), y=np.arange(60) % 3)
    status, out, err = run(
        "eval", tmp_path / "run", "--json", "--set", f"data.test={tmp_path}/big.npz"
    )
    if status == 0:
        strict_json(out)
    else:  # refusing such data is as good
        assert (status, out) == (2, "")
        assert len(err.splitlines()) == 1


def test_the_summary_is_what_was_printed(run, config, tmp_path):
    _, out, _ = run("train", "--config", config(), "--json")
    assert strict_json(out) == strict_json((tmp_path / "run" / "summary.json").read_text())
    found = strict_json(out)
    _, out, _ = run("eval", tmp_path / "run", "--json")
    figures = strict_json(out)
    assert found["test"] == {k: v for k, v in figures.items() if k in found["test"]}
    assert set(figures) - set(found["test"]) == {"run", "split", "classes", "confusion"}
    assert figures["accuracy"] == sum(
        row[k] for k, row in enumerate(figures["confusion"])
    ) / sum(map(sum, figures["confusion"]))  # fmt: skip
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        assert set(strict_json(line)) == {
            "epoch", "seconds", "learning_rate", "train_loss", "train_cost", "train_accuracy",
            "validation_loss", "validation_accuracy",
        }  # fmt: skip


def test_a_run_directory_has_what_scripts_rely_on(trained):
    from safetensors import safe_open

    assert {path.name for path in trained.iterdir()} >= {
        "config.yaml", "metrics.jsonl", "model.safetensors", "summary.json",
    }  # fmt: skip
    with safe_open(trained / "model.safetensors", framework="numpy") as file:
        shapes = {name: file.get_tensor(name).shape for name in file.keys()}  # noqa: SIM118 - no mapping
    assert shapes == {"weights": (3, 4), "bias": (3,), "feature_mean": (4,), "feature_std": (4,)}


def test_a_dry_run_writes_nothing_and_shows_shapes(run, config, tmp_path):
    file = config()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    status, out, err = run("train", "--config", file, "--dry-run", "--json")
    assert (status, err) == (0, "")
    shapes = strict_json(out)["shapes"]
    assert (shapes["weights"], shapes["bias"]) == ([3, 4], [3])
    assert shapes["examples"] == {"train": 36, "validation": 12, "test": 12}
    assert shapes["steps_per_epoch"] == 4  # 36 by tens
    status, out, _ = run("train", "--config", file, "--dry-run")
    assert status == 0
    assert "batch_size: 10\n" in out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_dry_run_finds_what_training_would_refuse(refused, config):
    for override in ("data.path=none.npz", "data.validation=60", "model.outputs=1"):
        refused("train", "--config", config(), "--dry-run", "--set", override)


def test_what_a_dry_run_prints_is_a_config(run, config, tmp_path):
    _, out, _ = run("train", "--config", config(), "--dry-run")
    resolved = out.split("\n\n")[0]
    (tmp_path / "resolved.yaml").write_text(resolved)
    assert run("train", "--config", tmp_path / "resolved.yaml")[0] == 0
