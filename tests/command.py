"""Running the command line in this process."""

import sys

import pytest

from backprop_cli.cli.main import main


def call(*args):
    """Return the exit status of a command."""
    before = sys.argv
    sys.argv = ["backprop", *map(str, args)]
    try:
        with pytest.raises(SystemExit) as stop:
            main()
    finally:
        sys.argv = before
    return stop.value.code
