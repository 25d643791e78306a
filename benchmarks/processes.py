"""Whole commands: wall time and peak memory, as the user of a shell has them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finished:
    """What a command took: seconds, peak resident memory in MB, and what it printed."""

    seconds: float
    megabytes: float
    output: str


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> Finished:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        It failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
    return Finished(seconds, usage.ru_maxrss * 1024 / 1e6, output)
