"""Writing files so that a reader, or a crash, sees either the old one or the new one whole."""

from __future__ import annotations

import os
import pathlib
import tempfile

from backprop_cli.errors import OutputError


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Write beside ``path``, flush to the disk, then rename over it.

    Raises
    ------
    OutputError
        The folder cannot be written, or the disk is full. What was at ``path`` is still there.
    """
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        pathlib.Path(temporary).chmod(0o666 & ~_umask())
        pathlib.Path(temporary).replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            pathlib.Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: pathlib.Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
