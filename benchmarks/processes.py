"""Whole commands: wall time and peak memory, as the user of a shell has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

# A small process in between: a child's peak counts what its parent had when it was started.
_WATCH = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
with open(sys.argv[1], "w") as file:
    json.dump([seconds, usage.ru_maxrss * 1024 / 1e6, os.waitstatus_to_exitcode(status)], file)
"""


@dataclass(frozen=True)
class Finished:
    """What a command took: seconds, peak resident memory in MB, and what it printed."""

    seconds: float
    megabytes: float
    output: str


def run(command: Sequence[str]) -> Finished:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        It failed.
    """
    report, write = os.pipe()
    with os.fdopen(report) as told:
        process = subprocess.run(
            [sys.executable, "-S", "-c", _WATCH, f"/dev/fd/{write}", *command],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, pass_fds=[write],
            check=True,
        )  # fmt: skip
        os.close(write)
        seconds, megabytes, status = json.load(told)
    if status:
        raise RuntimeError(f"{' '.join(command)}: exit status {status}")
    return Finished(seconds, megabytes, process.stdout)
