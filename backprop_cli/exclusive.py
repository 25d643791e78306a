"""Keep other processes out of a folder."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

from backprop_cli.errors import OutputError


@contextlib.contextmanager
def only_process(path: pathlib.Path, doing: str) -> Iterator[bool]:
    """Keep other processes out of a folder as long as this one lives, where the system can.

    Parameters
    ----------
    path
        The folder.
    doing
        What another process would be doing there, for the message.

    Yields
    ------
    bool
        Whether it is sure that there is no other.

    Raises
    ------
    OutputError
        Another process is in it, or it cannot be used.
    """
    try:
        import fcntl
    except ImportError:  # Windows: nothing is locked there
        yield False
        return
    try:
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{path}: cannot use this folder: {error.strerror}") from error
    try:
        sure = True
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(f"{path}: another process is {doing} there") from error
        except OSError:  # a file system without locks
            sure = False
        yield sure
    finally:
        os.close(folder)
