"""What only a process of its own shows: interrupts, pipes, terminals, imports, the same bytes."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

LONG = """\
data: {format: synthetic, examples: 2000, size: 16, validation: 200, test: 200}
training: {epochs: 100000, batch_size: 50}
"""
SHORT = """\
data: {format: synthetic, examples: 600, size: 8, validation: 0.2}
training: {epochs: 3, momentum: 0.9, schedule: {kind: cosine}, horizontal_flips: true}
"""


def command(*args):
    return [sys.executable, "-m", "backprop_cli", *map(str, args)]


def run(*args, **options):
    return subprocess.run(
        command(*args), capture_output=True, text=True, check=False, timeout=100, **options
    )


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "a config.yaml"
        path.write_text(text)
        return path

    return write


def test_the_same_config_gives_the_same_bytes(config, tmp_path):
    first = run("train", "--config", config(SHORT), "--output", tmp_path / "één")
    assert (first.returncode, first.stderr) == (0, "")
    again = run("train", "--config", tmp_path / "één" / "config.yaml", "--output", tmp_path / "b")
    assert again.returncode == 0
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("één", "b")]
    assert models[0] == models[1]


def test_an_interrupt_keeps_the_last_finished_epoch(config, tmp_path):
    process = subprocess.Popen(
        command("train", "--config", config(LONG), "--output", tmp_path / "run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    history = tmp_path / "run" / "metrics.jsonl"
    while not history.exists() or not history.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert f"Interrupted after {len(lines)} epochs" in err
    found = run("eval", tmp_path / "run", "--json", "--split", "validation")
    best = max(json.loads(line)["validation_accuracy"] for line in lines)
    assert json.loads(found.stdout)["accuracy"] == best


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_before_the_first_epoch_says_how_to_go_on(config, tmp_path, number, status):
    text = LONG.replace("examples: 2000", "examples: 60000").replace(
        "batch_size: 50", "batch_size: 1"
    )
    process = subprocess.Popen(
        command("train", "--config", config(text), "--output", tmp_path / "run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    how = f"backprop train --resume --output {tmp_path / 'run'}"
    assert err == f"Interrupted after 0 epochs. To go on: {how}\n"
    assert run("eval", tmp_path / "run").returncode == 0
    again = run("train", "--config", tmp_path / "a config.yaml", "--output", tmp_path / "run")
    assert again.returncode == 2
    assert "has not finished; go on w" in again.stderr
    assert how in again.stderr


def test_json_is_one_object(config, tmp_path):
    path = config(SHORT)
    for args in (
        ("train", "--config", path, "--output", tmp_path / "run"),
        ("train", "--config", path, "--dry-run"),
        ("eval", tmp_path / "run"),
        ("gradcheck", "--config", path, "--samples", "5"),
    ):
        result = run(*args, "--json")
        assert (result.returncode, result.stderr) == (0, ""), args
        assert isinstance(json.loads(result.stdout), dict)
        assert result.stdout.count("\n") == 1


def test_a_dry_run_writes_nothing(config, tmp_path):
    path = config(SHORT)
    result = run("train", "--config", path, "--dry-run", cwd=tmp_path)
    assert result.returncode == 0
    assert "weights     10 x 192" in result.stdout
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_closed_pipe_is_quiet(config):
    process = subprocess.Popen(
        command("train", "--config", config(SHORT), "--dry-run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert err == b""


def test_a_full_disk_behind_stdout_is_one_line(config):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, not a path of ours
        result = subprocess.run(
            command("train", "--config", config(SHORT), "--dry-run"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr.startswith("Error: cannot write the output")
    assert result.stderr.count("\n") == 1


def test_progress_is_shown_on_a_terminal_only(config, tmp_path):
    path = config(SHORT)
    assert run("train", "--config", path, "--output", tmp_path / "quiet").stderr == ""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen(
        command("train", "--config", path, "--output", tmp_path / "loud"),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ):
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(ours)
    assert b"epoch" in shown
    assert b" loss " in shown


def test_help_is_light_and_complete():
    code = (
        "import sys; sys.argv = ['backprop', '--help']\n"
        "from backprop_cli.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'pydantic', 'yaml', 'tqdm', 'safetensors'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_divergence_is_exit_3(config, tmp_path):
    result = run(
        "train", "--config", config(SHORT), "--output", tmp_path / "run",
        "--set", "training.learning_rate=1e10", "--set", "l2=10", "--set", "training.epochs=100",
    )  # fmt: skip
    assert result.returncode == 3
    assert result.stderr.startswith("Error: training diverged")
    assert result.stderr.count("\n") == 1
