"""Ctrl-C, pressed more than once, or in a command that is no training."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from backprop_cli.cli.main import cli, main
from backprop_cli.cli.messages import shell_word
from backprop_cli.runs import model_file, run_directory
from backprop_cli.runs.pace import Pace
from backprop_cli.runs.run_directory import RunDirectory

STATUSES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
WORDS = {130: "Interrupted.\n", 143: "Terminated.\n", 129: "Hung up.\n"}
COMMAND = [sys.executable, "-m", "backprop_cli"]


@pytest.fixture(autouse=True)
def _handlers():
    """Leave the signals as they were, for this process and for those it starts."""
    before = {number: signal.getsignal(number) for number in STATUSES}
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
    assert capsys.readouterr().err == "Interrupted.\n"
    monkeypatch.setattr(cli, "main", lambda **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main()


def stopped_at(place, number, *args, more=""):
    """Run a command that gets a signal where a line of Python says so."""
    code = (
        f"import os, signal, sys\nsys.argv = {['backprop', *map(str, args)]!r}\n"
        f"def stop(): os.kill(os.getpid(), {int(number)})\n{more}\n"
        f"from backprop_cli.__main__ import main\n{place}\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


IN_AN_IMPORT = """
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {0!r}: stop()
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("number", STATUSES)
@pytest.mark.parametrize("module", ["click", "backprop_cli.cli.main", "numpy", "pydantic"])
def test_in_the_middle_of_an_import(run, config, tmp_path, number, module):
    args = ("train", "--config", config())
    found = stopped_at("", number, *args, more=IN_AN_IMPORT.format(module))
    assert found == (STATUSES[number], "", WORDS[STATUSES[number]])


@pytest.mark.parametrize("number", STATUSES)
def test_before_training_begins(config, number):
    place = (
        "import backprop_cli.runs.together as module\n"
        "before = module.load_dataset\n"
        "def late(*args, **more): stop(); return before(*args, **more)\n"
        "module.load_dataset = late"
    )
    found = stopped_at(place, number, "train", "--config", config())
    assert found == (STATUSES[number], "", WORDS[STATUSES[number]])


@pytest.mark.parametrize("number", STATUSES)
def test_while_the_last_figures_are_made(config, number, tmp_path):
    """The run is finished and told of, the report is not begun, and the stop is not lost."""
    place = (
        "import backprop_cli.runs.run as module\n"
        "before = module.Result.of\n"
        "def late(*args, **more): stop(); return before(*args, **more)\n"
        "module.Result.of = late"
    )
    status, out, err = stopped_at(place, number, "train", "--config", config(), "--report")
    assert (status, err) == (STATUSES[number], WORDS[status])
    assert "test        accuracy" in out
    assert (tmp_path / "run" / "summary.json").exists()
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("number", STATUSES)
def test_where_no_exception_comes_through(config, number):
    """As in a destructor, or in a callback of a library."""
    place = (
        "import backprop_cli.cli.main as module\n"
        "class Lost:\n"
        "    def __del__(self): stop()\n"
        "sys.unraisablehook = lambda *args: None\n"
        "before = module.tell_of_shortened_files\n"
        "def late(): Lost(); before()\n"
        "module.tell_of_shortened_files = late"
    )
    status, _, err = stopped_at(place, number, "gradcheck", "--config", config())
    assert (status, err) == (STATUSES[number], WORDS[status])


def test_a_signal_that_is_ignored_stays_ignored(config):
    """As nohup has it."""
    more = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    place = (
        "import backprop_cli.cli.main as module\n"
        "before = module.tell_of_shortened_files\n"
        "def late(): stop(); before()\n"
        "module.tell_of_shortened_files = late"
    )
    status, _, err = stopped_at(
        place, signal.SIGHUP, "train", "--config", config(), "--dry-run", more=more
    )
    assert (status, err) == (0, "")


def test_a_closed_terminal_saves_the_run(started, tmp_path):
    """SIGHUP in training is as SIGTERM is; stderr may be gone by then."""
    text = (
        "data: {format: synthetic, examples: 2000, size: 16}\n"
        "training: {epochs: 100000, batch_size: 50}\n"
    )
    process = started("train", text, "--output", tmp_path / "run")
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.stderr.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 129
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_the_way_on_is_a_word_for_the_shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"a 'run' \xff\n")
    word = shell_word(tmp_path / name)
    assert word.isascii()
    assert word.isprintable()
    found = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert found.stdout == os.fsencode(name)
    assert shell_word(tmp_path / "plain") == "plain"
