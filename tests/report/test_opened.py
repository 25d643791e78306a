"""Opening a run from Python: no command line, nothing printed."""

import subprocess
import sys

import pytest

from backprop_cli.errors import ConfigError, ModelFileError
from backprop_cli.reporting.report.load import run_view
from backprop_cli.runs.opened import open_run


def test_a_finished_run(runs, capsys):
    capsys.readouterr()
    run = open_run(str(runs["images"]))
    assert run.notes() == []
    assert run.verify() == {"model": True, "data": True}
    assert len(run.split("validation")) == 100
    assert run_view(run, "test").evaluations["test"].n_examples == 100
    assert capsys.readouterr() == ("", "")


def test_a_run_that_diverged_is_noted_and_cannot_be_verified(runs):
    run = open_run(str(runs["diverged"]))
    assert run.notes() == ["the run has not finished"]
    with pytest.raises(ModelFileError, match="nothing to compare it with"):
        run.verify()


@pytest.mark.parametrize("override", ["l2=1", "data.seed=3", "data.test=0.5", "data={}"])
def test_only_files_can_be_replaced(runs, override):
    with pytest.raises(ConfigError):
        open_run(str(runs["features"]), [override])


def test_the_library_imports_no_command_line():
    code = (
        "import sys\n"
        "import backprop_cli.config, backprop_cli.runs.calibration, backprop_cli.runs.opened\n"
        "import backprop_cli.reporting.report.load, backprop_cli.reporting.report.write\n"
        "import backprop_cli.reporting.tensorboard\n"
        "print(sorted({'click', 'tqdm', 'matplotlib', 'backprop_cli.cli'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
