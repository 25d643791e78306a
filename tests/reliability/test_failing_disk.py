"""Whatever the disk does, and whenever: one error, and the run goes on to the same bits."""

import subprocess
import sys

import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import OutputError
from backprop_cli.runs.pace import Pace
from backprop_cli.runs.run import Run
from backprop_cli.solvers.observer import Observer
from tests.reliability.faults import FAILURES, Disk, failing
from tests.reliability.kills import finished, left

TEXT = """\
data: {{format: synthetic, examples: 60, size: 4, classes: 3, validation: 10, test: 10}}
compute: {{backend: numpy, threads: 1}}
training: {{epochs: 3, batch_size: 20, momentum: 0.9}}
output: '{}'
"""


@pytest.fixture(autouse=True)
def _write_always(monkeypatch):
    monkeypatch.setattr(Pace, "due", lambda self: True)


def run(folder, *, resume=False):
    Run(check_config(TEXT.format(folder), "test")).train(Observer(), resume=resume)


@pytest.fixture
def expected(tmp_path):
    """Return what a run leaves on a good disk, and how often it asks the disk."""
    disk = Disk(0, "ENOSPC")
    with failing(disk):
        run(tmp_path / "whole")
    assert disk.requests > 60
    return left(tmp_path / "whole"), disk.requests


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_disk_costs_nothing_that_was_saved(tmp_path, expected, failure):
    content, requests = expected
    for k in range(1, requests + 1):
        folder = tmp_path / f"run-{k}"
        try:
            with failing(Disk(k, failure)):
                run(folder)
        except OutputError:
            assert not any(p.name.startswith(".") for p in folder.iterdir())
            saved = (folder / "checkpoint.safetensors").exists()
            if not (folder / "summary.json").exists():
                run(folder, resume=saved or (folder / "config.yaml").exists())
        assert finished(folder) == content, k


def test_killed_at_every_third_request(tmp_path, expected):
    content, requests = expected
    for k in range(1, requests + 1, 3):
        folder = tmp_path / f"run-{k}"
        config = tmp_path / "config.yaml"
        config.write_text(TEXT.format(folder))
        command = ["-m", "tests.reliability.faults", str(k), "kill", "train", "--config"]
        process = subprocess.run([sys.executable, *command, str(config)], check=False)
        assert process.returncode == -9
        if not (folder / "summary.json").exists():
            run(folder, resume=(folder / "config.yaml").exists())
        assert finished(folder) == content, k
