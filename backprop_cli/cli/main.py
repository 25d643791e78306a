"""The command ``backprop``, and how it reports failures."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
import warnings

import click

from backprop_cli import __version__
from backprop_cli.cli.commands import Commands
from backprop_cli.cli.mapped import tell_of_shortened_files
from backprop_cli.cli.output import show
from backprop_cli.cli.processes import processes
from backprop_cli.cli.signals import Stopped, stops
from backprop_cli.errors import BackpropError, bounded


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backprop")
def cli() -> None:
    """Train, check and explain linear classifiers (softmax, multi-class SVM)."""


def main() -> None:
    """Run the command line and exit with the status that docs/commands.md documents."""
    stops.catch()
    status, elsewhere, stopped = 0, False, False
    lines: list[str] = []
    try:
        status, lines, elsewhere = _outcome()
        # An interrupt may have been lost in code that lets no exception through.
        stopped = stops.signal is not None and status != stops.exit_status
    except Stopped:
        stopped = True
    except Exception:  # what a library has made of an interrupt, or a bug
        stopped = stops.signal is not None
        if not stopped and processes.size == 1:
            raise
        status, lines = 1, traceback.format_exc().splitlines()
    stops.rest()
    if stopped:
        status, lines = stops.exit_status, [stops.word]
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        _discard_output()
    status, lines = processes.agree(status, lines, elsewhere=elsewhere)
    for line in lines:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be gone
            show(line, err=True)
    sys.exit(status)


def _outcome() -> tuple[int, list[str], bool]:
    """Run the command line.

    Returns
    -------
    status
        The exit status.
    lines
        What is to be said on stderr.
    elsewhere
        Whether another process has failed, and knows what is to be said.
    """
    tell_of_shortened_files()
    _quieten_libraries()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the locale cannot encode
    try:
        processes.join()
        status = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status if isinstance(status, int) else 0, [], False
    except click.exceptions.Exit as stop:
        return stop.exit_code, [], False
    except click.ClickException as error:
        from backprop_cli.cli.hints import with_way_out

        text = io.StringIO()
        with_way_out(error).show(text)
        return error.exit_code, text.getvalue().rstrip("\n").split("\n"), False
    except BackpropError as error:
        lines = [f"Error: {line}" for line in bounded(error.lines())]
        return error.exit_status, lines, processes.is_of_another(error)
    except (BrokenPipeError, SystemExit):  # click turns the former into the latter
        _discard_output()
        return 0, [], False
    except OSError as error:
        # Reading and writing files raises errors of this package; what remains is stdout.
        _discard_output()
        return 2, [f"Error: cannot write the output: {error.strerror or error}"], False
    except MemoryError:
        line = "Error: out of memory; use a smaller batch_size, limit or float32"
        return 2, [line], False
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
