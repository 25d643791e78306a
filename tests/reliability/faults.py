"""A disk that fails, or a process that dies, at the k-th thing asked of the disk.

``python -m tests.reliability.faults K kill train --config ...`` runs the command line and dies.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

FAILURES = ("ENOSPC", "EIO", "EACCES", "short")


class Disk:
    """Counts what is asked of the disk; the k-th request (from 1) fails in a given way."""

    def __init__(self, k: int, failure: str) -> None:
        self._k, self._failure, self.requests = k, failure, 0

    def ask(self, cut_short: Callable[[], Any] | None = None) -> None:
        self.requests += 1
        if self.requests != self._k:
            return
        if self._failure == "kill":
            if cut_short is not None:
                cut_short()
            os.kill(os.getpid(), signal.SIGKILL)
        if self._failure == "short" and cut_short is not None:
            cut_short()
        number = getattr(errno, self._failure, errno.ENOSPC)
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def failing(disk: Disk) -> Iterator[None]:
    """Put a disk under everything that is written through a temporary file."""
    before_open, before_fsync = pathlib.Path.open, os.fsync
    before_replace, before_unlink = pathlib.Path.replace, pathlib.Path.unlink

    class File(io.FileIO):
        def write(self, content: Any) -> int:
            disk.ask(lambda: super(File, self).write(memoryview(content)[: len(content) // 2]))
            return super().write(content)

    def open_(path: pathlib.Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if mode != "xb":
            return before_open(path, mode, *args, **kwargs)
        disk.ask()
        return File(path, "x")

    def fsync(descriptor: int) -> None:
        disk.ask()
        before_fsync(descriptor)

    def replace(path: pathlib.Path, target: Any) -> Any:
        disk.ask()
        return before_replace(path, target)

    def unlink(path: pathlib.Path, missing_ok: bool = False) -> None:
        if path.name == "checkpoint.safetensors":  # taking away what is temporary may not fail
            disk.ask()
        before_unlink(path, missing_ok)

    of_path = mock.patch.multiple(pathlib.Path, open=open_, replace=replace, unlink=unlink)
    with of_path, mock.patch.object(os, "fsync", fsync):
        yield


def main() -> None:
    from backprop_cli.cli.main import main as command_line
    from backprop_cli.runs.pace import Pace

    k, failure = int(sys.argv[1]), sys.argv[2]
    del sys.argv[1:3]
    Pace.due = lambda self: True  # type: ignore[method-assign]
    with failing(Disk(k, failure)):
        command_line()


if __name__ == "__main__":
    main()
