"""The command ``backprop``, and how it reports failures."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings

import click

from backprop_cli import __version__
from backprop_cli.cli.commands import Commands
from backprop_cli.cli.mapped import tell_of_shortened_files
from backprop_cli.cli.output import show
from backprop_cli.cli.signals import Stopped, stops
from backprop_cli.errors import BackpropError, bounded


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backprop")
def cli() -> None:
    """Train, check and explain linear classifiers (softmax, multi-class SVM)."""


def main() -> None:
    """Run the command line and exit with the status that docs/commands.md documents."""
    stops.catch()
    try:
        status = _status()
        # An interrupt may have been lost in code that lets no exception through.
        if stops.signal is None or status == stops.exit_status:
            stops.rest()
            sys.exit(status)
    except Stopped:
        pass
    except Exception:  # what a library has made of an interrupt
        if stops.signal is None:
            raise
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        _discard_output()
    stops.leave()


def _status() -> int:
    """Run the command line, say what is wrong, and return the exit status."""
    tell_of_shortened_files()
    _quieten_libraries()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the locale cannot encode
    try:
        status = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        from backprop_cli.cli.hints import with_way_out

        text = io.StringIO()
        with_way_out(error).show(text)
        show(text.getvalue().rstrip("\n"), err=True)
        return error.exit_code
    except BackpropError as error:
        for line in bounded(error.lines()):
            show(f"Error: {line}", err=True)
        return error.exit_status
    except (BrokenPipeError, SystemExit):  # click turns the former into the latter
        _discard_output()
        return 0
    except OSError as error:
        # Reading and writing files raises errors of this package; what remains is stdout.
        show(f"Error: cannot write the output: {error.strerror or error}", err=True)
        _discard_output()
        return 2
    except MemoryError:
        show("Error: out of memory; use a smaller batch_size, limit or float32", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt) as error:
        raise Stopped from error


def _quieten_libraries() -> None:
    """Keep what other libraries warn of away from stderr: it is for one line per error.

    ``python -W`` shows warnings still.
    """
    if not sys.warnoptions:
        warnings.showwarning = lambda *args, **kwargs: None
    logging.lastResort = logging.NullHandler()


def _discard_output() -> None:
    """Redirect stdout to the null device, because the interpreter flushes it again at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
