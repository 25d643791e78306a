"""The command ``backprop``, and how it reports failures."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from types import FrameType

import click

from backprop_cli import __version__
from backprop_cli.cli.commands import Commands
from backprop_cli.cli.mapped import tell_of_shortened_files
from backprop_cli.errors import BackpropError

INTERRUPTED = 130


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backprop")
def cli() -> None:
    """Train, check and explain linear classifiers (softmax, multi-class SVM)."""


def main() -> None:
    """Run the command line and exit with the status that the README documents."""
    pressed = _recorded_interrupts()
    tell_of_shortened_files()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the locale cannot encode
    try:
        status = cli.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Exit as stop:
        status = stop.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except BackpropError as error:
        for line in error.lines():
            click.echo(f"Error: {line}", err=True)
        status = error.exit_status
    except (BrokenPipeError, SystemExit):  # click turns the former into the latter
        _discard_output()
        status = 0
    except OSError as error:
        # Reading and writing files raises errors of this package; what remains is stdout.
        click.echo(f"Error: cannot write the output: {error.strerror or error}", err=True)
        _discard_output()
        status = 2
    except MemoryError:
        click.echo("Error: out of memory; use a smaller batch_size, limit or float32", err=True)
        status = 2
    except Exception:
        if not pressed:
            raise
        status = INTERRUPTED
    sys.exit(status if isinstance(status, int) else 0)


def _recorded_interrupts() -> list[int]:
    """Return a list to which every Ctrl-C is added.

    An import that is interrupted may fail with another error than KeyboardInterrupt.
    """
    pressed: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        pressed.append(signum)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGINT, interrupt)
    return pressed


def _discard_output() -> None:
    """Redirect stdout to the null device, because the interpreter flushes it again at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
