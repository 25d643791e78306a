"""Ctrl-C, pressed more than once, or in a command that is no training."""

import json
import signal
import subprocess
import sys
import time

import pytest

from backprop_cli.cli.main import cli, main
from backprop_cli.runs import model_file, run_directory
from backprop_cli.runs.pace import Pace
from backprop_cli.runs.run_directory import RunDirectory

COMMAND = [sys.executable, "-m", "backprop_cli"]


@pytest.fixture(autouse=True)
def _handlers():
    """Leave the signals as they were, for this process and for those it starts."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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


def test_a_second_interrupt_does_not_cost_the_last_finished_epoch(
    run, config, tmp_path, monkeypatch
):
    """Ctrl-C after the third epoch, and again while its model is being written."""
    save, save_model = RunDirectory.save, model_file.save_model

    def press_and_save(self, lines, model):
        if len(lines) == 3:
            signal.raise_signal(signal.SIGINT)
        save(self, lines, model)

    def press_and_save_model(path, model, config):
        if len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3:
            signal.raise_signal(signal.SIGINT)
        save_model(path, model, config)

    monkeypatch.setattr(RunDirectory, "save", press_and_save)
    monkeypatch.setattr(run_directory, "save_model", press_and_save_model)
    monkeypatch.setattr(Pace, "due", lambda self: True)
    monkeypatch.setattr(Pace, "written", lambda self: None)
    status, out, err = run("train", "--config", config(), "--set", "training.epochs=50")
    assert (status, out) == (130, "")
    assert "Traceback" not in err
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert run("eval", tmp_path / "run")[0] == 0


def test_a_long_check_is_interrupted_quietly(started):
    text = "data: {format: synthetic, size: 32, examples: 1000}\n"
    process = started("gradcheck", text, "--all", "--examples", 500)
    process.stdout.readline()  # the data is read, the check begins
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_what_a_library_makes_of_an_interrupt_is_one_still(monkeypatch, capsys):
    """As pydantic does, whose models are built while it is imported."""

    def interrupted(**kwargs):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("cannot build a model") from None

    monkeypatch.setattr(cli, "main", interrupted)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(cli, "main", lambda **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main()
