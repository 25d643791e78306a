"""Ctrl-C, pressed more than once, or in a command that is no training."""

import json
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-m", "backprop_cli"]


@pytest.fixture
def started(tmp_path):
    """Return a function that starts a command on a config of its own."""
    processes = []

    def start(name, text, *args):
        (tmp_path / "config.yaml").write_text(text)
        process = subprocess.Popen(
            [*COMMAND, name, "--config", str(tmp_path / "config.yaml"), *map(str, args)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(process, condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


LONG = """\
data: {format: synthetic, examples: 1000, size: 8, validation: 200, test: 200}
training: {epochs: 100000000, batch_size: 50}
"""


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_an_impatient_user(started, tmp_path, json_option):
    process = started("train", LONG, "--output", tmp_path / "run", *json_option)
    wait_for(process, (tmp_path / "run" / "model.safetensors").exists)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.003)
    out, err = process.communicate(timeout=60)
    # A signal that comes while the interpreter shuts down ends it as the system does: to a shell,
    # 130 as well.
    assert process.returncode in (130, -signal.SIGINT)
    assert out == ""
    assert "Traceback" not in err
    done = subprocess.run(
        [*COMMAND, "eval", str(tmp_path / "run"), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["examples"] == 200
    leftovers = [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]
    assert not leftovers


def test_a_long_check_is_interrupted_quietly(started):
    text = "data: {format: synthetic, size: 32, examples: 1000}\n"
    process = started("gradcheck", text, "--all", "--examples", 500)
    process.stdout.readline()  # the data is read, the check begins
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
