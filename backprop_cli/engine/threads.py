"""How many threads may work, in the kernels and in NumPy's BLAS."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from contextlib import AbstractContextManager

from backprop_cli import blas
from backprop_cli.errors import ConfigError

_LIMIT = "OMP_NUM_THREADS"  # set by job schedulers, and by joblib in its workers
_CGROUP = pathlib.Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Return how many cores this process may use: its affinity, and its container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with contextlib.suppress(OSError, ValueError):
        quota, period = _CGROUP.read_text().split()
        if quota != "max":
            return max(1, min(count or 1, int(quota) // int(period)))
    return count or 1


def resolved_threads(threads: int | None, processes: int = 1) -> int:
    """Return a number of threads; None: one per core, and at most OMP_NUM_THREADS.

    Parameters
    ----------
    threads
        As a config has it.
    processes
        How many share the cores.

    Raises
    ------
    ConfigError
        There are fewer cores.
    """
    found = cores()
    if threads is not None and threads > found:
        raise ConfigError(
            f"compute.threads: expected at most {found}, the number of cores, found {threads}; "
            "auto takes at most as many"
        )
    return threads or max(1, min(found // processes, _limit() or found))


def _limit() -> int:
    """Return what OMP_NUM_THREADS says for the outermost level, or 0."""
    first = os.environ.get(_LIMIT, "").split(",")[0]
    return int(first) if re.fullmatch(r"\s*[0-9]{1,9}\s*", first) else 0


def blas_threads(number: int) -> AbstractContextManager[object]:
    """Limit NumPy's BLAS to a number of threads while the context lasts; at most one per core."""
    return blas.limited(min(number, cores()))
