"""A command in this process: what is wrong with how it ended."""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import re
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

SECONDS, MEGABYTES = 5, 1000  # of computing: the machine may be busy with other work
MAX_WALL = 60  # seconds; beyond, something waits
STATUSES = {0, 1, 2, 3}
MAX_LINES, MAX_BYTES = 30, 20_000  # of stderr

_COLOURS = re.compile("\x1b\\[(38;2;[0-9;]+|0)m")  # of --templates; no mutation has these

_TIMERS = (
    (signal.SIGPROF, signal.ITIMER_PROF, SECONDS),
    (signal.SIGALRM, signal.ITIMER_REAL, MAX_WALL),
)
Task = tuple[int, int, str]
"""A seed, how many inputs, and what the names of the cases begin with."""
Work = Callable[[Task], tuple[Counter[str], list[str], float]]


@dataclass(frozen=True)
class Ending:
    """The exit status of a command, and what is wrong with how it ended, or None."""

    status: object
    wrong: str | None


class _TooLong(BaseException):
    pass


def _ring(signum: int, frame: FrameType | None) -> None:
    raise _TooLong


def attempt(command: tuple[str, ...]) -> Ending:
    """Run the command line here, and see how it ends."""
    from backprop_cli.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["backprop", *command]
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, timer, seconds in _TIMERS:
        signal.signal(number, _ring)
        signal.setitimer(timer, seconds)
    status: object = None
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error")
            main()
    except SystemExit as stop:
        status = stop.code
    except _TooLong:
        return Ending(None, f"longer than {SECONDS} s of computing, or {MAX_WALL} s in all")
    except BaseException:
        return Ending(None, traceback.format_exc())
    finally:
        for _, timer, _ in _TIMERS:
            signal.setitimer(timer, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Ending(status, wrong_with(status, out.getvalue(), err.getvalue()))


_NOTE = re.compile(r"^Note: .*\n(?:(?!Error: |Note: |Traceback|.*Warning).*\n)?", re.MULTILINE)
"""A note, which may be wrapped into two lines."""


def wrong_with(status: object, out: str, err: str) -> str | None:
    """Return what is wrong with what a command has said, or None."""
    if status not in STATUSES:
        return f"exit status {status}: {err}"
    lines, told = (text.split("\n")[:-1] for text in (err, _NOTE.sub("", err)))
    if any(not line.startswith("Error: ") for line in told):
        return f"exit {status}, not a line an error: {err!r}"
    if (status in (2, 3)) != bool(told):
        return f"exit {status}, but stderr says {err!r}"
    if "Error: out of memory" in err:  # not found out before it was asked for
        return f"exit {status}, {err!r}"
    if len(lines) > MAX_LINES or len(err) > MAX_BYTES:
        return f"{len(lines)} lines and {len(err)} characters on stderr: {err[:500]!r}"
    out = _COLOURS.sub("", out)
    strange = {sign for sign in out + err if sign != "\n" and not sign.isprintable()}
    return f"control characters {sorted(strange)}: {(out + err)[:500]!r}" if strange else None


def campaign(work: Work, inputs: int) -> None:
    """Let processes try inputs as the command line says; print what became of them, and exit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=inputs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="what the names of the cases begin with")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    start, share = time.perf_counter(), 200
    tasks = [
        (options.seed + k, min(share, options.inputs - k * share), options.only)
        for k in range(-(-options.inputs // share))
    ]
    tried: Counter[str] = Counter()
    problems: list[str] = []
    peak = 0.0
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes, maxtasksperchild=20) as pool:
        try:
            for some, wrong, megabytes in pool.imap_unordered(work, tasks):
                tried += some
                problems += wrong
                peak = max(peak, megabytes)
                for problem in wrong:
                    print(problem.encode("utf-8", "backslashreplace").decode(), flush=True)
                print(f"{sum(tried.values())} inputs", file=sys.stderr, flush=True)
        except Exception:
            traceback.print_exc()
            for process in multiprocessing.active_children():
                process.kill()  # the commands have taken SIGTERM over, by which the pool ends them
            sys.exit(1)
    if peak > MEGABYTES:
        problems.append(f"{peak:.0f} MB")
    print(f"{sum(tried.values())} inputs, {len(problems)} problems, ", end="")
    print(f"{peak:.0f} MB at most, {time.perf_counter() - start:.0f} s")
    for kind, number in sorted(tried.items()):
        print(f"  {number:6d}  {kind}")
    sys.exit(bool(problems))
