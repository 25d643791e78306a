"""Writing files so that a reader, or a crash, sees either the old one or the new one whole."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import BinaryIO

from backprop_cli.errors import BackpropError, OutputError


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Write a whole file; errors are those of `writing`."""
    with writing(path) as stream:
        stream.write(content)


def refuse_unwritable(path: pathlib.Path) -> None:
    """Refuse a file that could not be written, before what is to stand in it is computed.

    Raises
    ------
    OutputError
        As `writing` raises it.
    """
    temporary = _temporary(path)
    with _told_of(path):
        temporary.open("xb").close()
        temporary.unlink()


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Give a stream to a file beside ``path``; at the end flush it to the disk and rename it.

    If what is done with the stream fails, nothing is renamed.

    Raises
    ------
    OutputError
        The folder cannot be written, the disk is full, or there is no file but a folder or a
        device. What was at ``path`` is still there.
    """
    temporary = _temporary(path)
    try:
        with _told_of(path):
            with temporary.open("xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: pathlib.Path) -> pathlib.Path:
    try:
        with _told_of(path):
            if path.exists() and not path.is_file():
                raise OutputError(f"{path}: expected a file to write to, found another thing there")
        return path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    except ValueError as error:
        raise OutputError(f"{path}: expected the name of a file to write to") from error


@contextlib.contextmanager
def _told_of(path: pathlib.Path) -> Iterator[None]:
    """Turn the system's errors in writing a file into an OutputError."""
    try:
        yield
    except BackpropError:  # of what is written
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error


def remove_leftovers(path: pathlib.Path) -> None:
    """Remove what writers of ``path`` left beside it that were killed; none may be at work."""
    for left in path.parent.glob(f".{path.name}.{'[0-9a-f]' * 16}"):
        with contextlib.suppress(OSError):
            left.unlink()


def _sync_folder(folder: pathlib.Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
