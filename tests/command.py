"""Running the command line in this process."""

import signal
import sys

import pytest

from backprop_cli.cli.main import main


def call(*args):
    """Return the exit status of a command."""
    before = sys.argv
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    sys.argv = ["backprop", *map(str, args)]
    try:
        with pytest.raises(SystemExit) as stop:
            main()
    finally:
        sys.argv = before
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return stop.value.code
