"""How much memory features may take."""

from __future__ import annotations

import contextlib
import os
import pathlib

from backprop_cli.config.values import memory_bytes

_CGROUP = pathlib.Path("/sys/fs/cgroup")
_MEMINFO = pathlib.Path("/proc/meminfo")


def memory_limit(configured: int | str) -> int | None:
    """Return the bytes that features may take; None: there is no limit.

    Parameters
    ----------
    configured
        The value of ``data.memory``: a size, `all`, or `auto`, which is half of what is free.
    """
    if configured == "all":
        return None
    if configured == "auto":
        free = free_memory()
        return None if free is None else free // 2
    return memory_bytes(configured)


def free_memory() -> int | None:
    """Return how many bytes this process could still take; None where the system does not tell.

    A container's limit counts as well as the machine's.
    """
    found = [size for size in (_of_machine(), *_of_container()) if size is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_container() -> list[int | None]:
    """Return what is left of the limits of control groups, version 2 and version 1."""
    return [
        _left(_CGROUP / "memory.max", _CGROUP / "memory.current", _CGROUP / "memory.stat"),
        _left(
            _CGROUP / "memory/memory.limit_in_bytes",
            _CGROUP / "memory/memory.usage_in_bytes",
            _CGROUP / "memory/memory.stat",
        ),
    ]


def _left(limit: pathlib.Path, used: pathlib.Path, about: pathlib.Path) -> int | None:
    """Return a limit less what is used; cached files are given back when memory is short."""
    try:
        cached = [line.split() for line in about.read_text().splitlines()]
        files = sum(int(size) for name, size in cached if name in ("inactive_file", "active_file"))
        return max(0, int(limit.read_text()) - max(0, int(used.read_text()) - files))
    except (OSError, ValueError):  # none, or "max"
        return None
