"""Running the command line in this process, and how property tests draw their examples."""

import sys

import pytest
from hypothesis import settings

from backprop_cli.cli.main import main

# Property tests draw the same examples everywhere, and a slow machine is no failure.
settings.register_profile("here", deadline=None, derandomize=True)
settings.load_profile("here")


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the command line here: status, stdout, stderr."""

    def command(*args):
        monkeypatch.setattr(sys, "argv", ["backprop", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return command
