"""However a process of several ends, all end, with one message and one status."""

import pathlib
import shutil
import signal
import time

import numpy as np
import pytest

from backprop_cli.runs.run_directory import load_run
from tests.mpi.launch import STATUS_OF_KILLED, backprop, ended, started
from tests.runs.test_resume import content

pytest.importorskip("mpi4py", reason="needs the extra: mpi")

OTHER_DATA = """
import backprop_cli.runs.together as module
load = module.load_dataset
module.load_dataset = lambda data: load(data.model_copy(update={{"path": {!r}}}))
"""
AT_THE_THIRD_EPOCH = """
import os, signal
from backprop_cli.cli.progress import ProgressBar
ProgressBar.steps_before = ProgressBar.steps
def steps(self, number, loss, learning_rate):
    steps.made += number
    if steps.made >= 60: {what}
    self.steps_before(number, loss, learning_rate)
steps.made = 0
ProgressBar.steps = steps
"""
STOPPED = AT_THE_THIRD_EPOCH.format(what="os.kill(os.getpid(), signal.{})")
FULL_DISK = """
from backprop_cli.runs.run_directory import RunDirectory
before = RunDirectory.save
def save(self, lines, model):
    if lines:
        full = OSError(errno.ENOSPC, "No space left on device")
        raise OutputError(f"{self.path}: cannot write: {full.strerror}") from full
    before(self, lines, model)
import errno
from backprop_cli.errors import OutputError
RunDirectory.save = save
"""
SHORT_PATIENCE = """
from backprop_cli import communicator
communicator._PATIENCE = 0.2
"""
SLOW_STEP = f"import time\n{SHORT_PATIENCE}" + AT_THE_THIRD_EPOCH.format(what="time.sleep(1)")
SLOW_SURVEY = """
import sys, time
import backprop_cli.sources
survey = sys.modules["backprop_cli.sources.survey"]
survey.CHUNK_BYTES = 1
before = survey.Range.add
survey.Range.add = lambda *args: (before(*args), time.sleep(0.1))
"""
SLOW_SAVE = f"""
{SHORT_PATIENCE}
import time
from backprop_cli.runs.run_directory import RunDirectory
before = RunDirectory.save
def save(self, lines, model):
    time.sleep(1)
    before(self, lines, model)
RunDirectory.save = save
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write a config and its data; go to their folder."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    features = rng.normal(size=(400, 6)).astype(np.float32)
    features[np.arange(400), labels] += 1
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", features)
    np.save("y.npy", labels)
    features[390, 2] = np.nan
    np.save("nan.npy", features)
    pathlib.Path("config.yaml").write_text(
        "data: {format: npy, path: x.npy, labels: y.npy, validation: 50, test: 50}\n"
        "training: {epochs: 6, batch_size: 15, learning_rate: 0.1, momentum: 0.5}\n"
        "compute: {backend: numpy, threads: 1}\n"
    )
    return tmp_path


def train(n, *args, on=None):
    """Train, or go on; return the status, and what was said."""
    status, out, err = backprop(n, "train", *args, on=on)
    return status, out, err.splitlines()


NEW = ("--config", "config.yaml", "--output")
RESUMED = ("--resume", "--output")


def test_a_run_that_one_process_stops_goes_on_to_the_same_bits(files):
    status, _, said = train(2, *NEW, "run", on={1: STOPPED.format("SIGTERM")})
    assert status == 143
    assert said == ["Interrupted after 2 epochs. To go on: backprop train --resume --output run"]
    shutil.copytree("run", "other")
    assert train(2, *NEW, "whole")[0] == train(2, *RESUMED, "run")[0] == 0
    assert content(files / "run") == content(files / "whole")
    status, out, said = train(3, *RESUMED, "other")
    assert (status, "epoch       " in out) == (0, True)
    note = " ".join(line.strip() for line in said)
    assert note.startswith(f"Note: {files / 'other'}: was trained by 2 processes")
    assert note.endswith("goes on with 3: the same to rounding")
    expected, found = (load_run(name)[1].weights for name in ("whole", "other"))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_sweep_that_another_number_of_processes_goes_on_with_says_so(files, run):
    args = ("sweep", *NEW, "run", "--grid", "l2=0,0.1")
    assert backprop(2, *args, on={1: STOPPED.format("SIGTERM")})[0] == 143
    status, _, err = run(*args, "--resume")
    note = (
        f"Note: {files / 'run'}: was trained by 2 processes, goes on with 1: the same to rounding"
    )
    assert (status, " ".join(line.strip() for line in err.splitlines())) == (0, note)


def test_ctrl_c_stops_all_with_one_word(files):
    process = started(2, ["train", *NEW, "run", "--set", "training.epochs=100000"])
    deadline = time.monotonic() + 60
    while not (files / "run" / "checkpoint.safetensors").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    assert status == 130
    assert err.count("Interrupted") == 1
    assert "--resume --output run" in err


def test_a_stop_before_training_begins(files):
    late = "import os, signal\nimport backprop_cli.runs.together as module\nmodule.load_dataset = "
    late += "lambda data: os.kill(os.getpid(), signal.SIGTERM)"
    assert train(2, *NEW, "run", on={1: late}) == (143, "", ["Terminated."])


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ({1: OTHER_DATA.format("none.npy")}, "none.npy: cannot read: No such file or directory"),
        ({1: OTHER_DATA.format("nan.npy")}, "nan.npy: features[390, 2] is nan, expected numbers"),
        ({0: OTHER_DATA.format("twice.npy")}, "the data of process 2 of 2 is not that of"),
    ],
)
def test_what_is_wrong_with_the_data_of_one_process_ends_all(files, on, message):
    np.save("twice.npy", 2 * np.load("x.npy"))
    status, out, said = train(2, *NEW, "run", on=on)
    assert (status, out, len(said)) == (2, "", 1)
    assert message in said[0]
    assert ("(process 2 of 2, on " in said[0]) == (1 in on)


def test_a_full_disk_ends_all_and_the_run_goes_on(files):
    status, _, said = train(2, *NEW, "run", on={0: FULL_DISK})
    assert (status, len(said)) == (2, 1)
    assert "No space left on device; once it can be written, go on: backprop train" in said[0]
    assert train(2, *RESUMED, "run")[0] == 0


def test_a_process_that_is_killed_ends_all_and_the_run_goes_on(files):
    killed = STOPPED.format("SIGKILL")
    status, _, said = train(2, *NEW, "run", on={1: killed})
    assert status == STATUS_OF_KILLED
    assert "Error" not in "".join(said)
    assert train(2, *RESUMED, "run")[0] == 0


def test_a_bug_in_one_process_gives_one_traceback(files):
    bug = AT_THE_THIRD_EPOCH.format(what="1 / 0")
    status, out, said = train(3, *NEW, "run", on={2: bug})
    assert (status, out) == (1, "")
    assert [line for line in said if not line.startswith(" ")] == [
        "Traceback (most recent call last):", said[-1]
    ]  # fmt: skip
    assert said[-1].startswith("ZeroDivisionError: division by zero (process 3 of 3, on ")


def test_a_slow_process_is_waited_for(files):
    bug = SHORT_PATIENCE + AT_THE_THIRD_EPOCH.format(what="1 / 0")
    status, _, said = train(3, *NEW, "run", on={0: SLOW_STEP, 2: bug})
    assert status == 1
    assert [line for line in said if not line.startswith(" ")] == [
        "Traceback (most recent call last):", said[-1]
    ]  # fmt: skip
    assert said[-1].startswith("ZeroDivisionError: division by zero (process 3 of 3, on ")


def test_what_was_last_good_is_saved_however_long_it_takes(files):
    wild = (*NEW, "run", "--set", "training.learning_rate=1e30")
    status, _, said = train(2, *wild, on={0: SLOW_SAVE, 1: SHORT_PATIENCE})
    assert status == 3
    assert len(said) == 1
    assert said[0].startswith("Error: training diverged")
    assert (files / "run" / "model.safetensors").exists()


def test_nobody_reads_on_where_another_process_has_failed(files):
    start = time.monotonic()
    on = {0: SLOW_SURVEY, 1: OTHER_DATA.format("none.npy")}
    status, _, said = train(3, *NEW, "run", on=on)
    assert time.monotonic() - start < 20  # of 40 s
    assert (status, len(said)) == (2, 1)
    assert "none.npy: cannot read: No such file or directory (process 2 of 3, on " in said[0]


def test_a_process_that_has_failed_does_not_wait_for_one_that_is_killed(files):
    killed = f"{SLOW_SURVEY}\nimport os\nsurvey.Range.add = lambda *args: os.kill(os.getpid(), 9)"
    status, _, _ = train(2, *NEW, "run", on={0: OTHER_DATA.format("none.npy"), 1: killed})
    assert status == STATUS_OF_KILLED


def test_a_start_that_takes_too_long_says_what_to_do(files):
    soon = "from backprop_cli.cli import processes as module\nmodule._START_SECONDS = 1"
    gone = "import os, time\ntime.sleep(30)\nos._exit(0)"
    status, _, said = train(3, *NEW, "run", on={0: soon, 1: soon, 2: gone})
    assert status in (2, 9)  # 9: mpiexec says that it has killed the others
    assert len(said) == 1
    assert said[0].startswith("Error: MPI has not started all processes within 1 s: ")


def test_a_command_for_one_process_is_refused(files):
    status, out, err = backprop(2, "gradcheck", "--config", "config.yaml")
    assert (status, out) == (2, "")
    assert err == (
        "Error: backprop gradcheck is for one process, found 2; start it without the launcher "
        "(mpiexec, srun)\n"
    )


def test_eval_and_predict_say_what_one_process_says(files, run):
    assert train(2, *NEW, "run")[0] == 0
    for args in (("eval", "run", "--json"), ("predict", "run", "--input", "x.npy", "--json")):
        assert backprop(3, *args) == run(*args)
