"""Property tests draw the same examples everywhere, and commands run in this process."""

import os

import pytest
from hypothesis import settings

from tests.command import call

os.environ.pop("COLUMNS", None)  # lines are as long as where there is no terminal
if "PYTEST_XDIST_WORKER" in os.environ:  # one of as many processes as there are cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A slow machine is no failure.
settings.register_profile("here", deadline=None, derandomize=True)
settings.load_profile("here")


@pytest.fixture
def run(capsys):
    """Return a function that runs the command line here: status, stdout, stderr."""

    def command(*args):
        status = call(*args)
        return status, *capsys.readouterr()

    return command


@pytest.fixture
def refused(run):
    """Return a function that expects one line on stderr, exit 2, and nothing on stdout."""

    def command(*args, words=()):
        status, out, err = run(*args)
        assert (status, out) == (2, ""), err
        assert err.startswith("Error: ")
        assert len(err.splitlines()) == 1, err
        for word in words:
            assert word in err, err
        return err

    return command
