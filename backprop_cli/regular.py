"""Opening files that may be a stranger's: regular ones of a sane size, and nothing else.

A named pipe is never ready, a device such as /dev/zero never ends, and a sparse file of a few bytes
reads as gigabytes of zeros. Everything that this package reads is opened here. What is refused is
an OSError, like everything else that is wrong with a file.
"""

from __future__ import annotations

import errno
import io
import os
import pathlib
import stat

_MAX_EXPANSION, MAX_EXPANDED = 200, 2**28
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # not on Windows, which has no named pipes among its files


def expands_too_far(unpacked: int, packed: int) -> bool:
    """Return whether bytes are few on the disk and huge in memory.

    That is, more than 256 MiB in memory, and more than 200 times as many as on the disk.
    """
    return unpacked > MAX_EXPANDED and unpacked > _MAX_EXPANSION * packed


def open_regular(path: str | os.PathLike[str], max_bytes: int | None = None) -> io.BufferedReader:
    """Open a regular file for reading.

    Parameters
    ----------
    path
        Links are followed.
    max_bytes
        The size to accept; None: any, if the disk holds about as much.

    Raises
    ------
    OSError
        It cannot be opened, is no regular file, is larger, or is all holes; ``strerror`` says so.
    """
    # Looked at before it is opened, as opening a device may do something, and again afterwards.
    _check(pathlib.Path(path).stat(), path, max_bytes)
    descriptor = os.open(path, os.O_RDONLY | _NONBLOCK | getattr(os, "O_BINARY", 0))
    try:
        _check(os.fstat(descriptor), path, max_bytes)
        _refuse_holes(descriptor, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Return the content of a regular file of at most so many bytes; see `open_regular`."""
    with open_regular(path, max_bytes) as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise _refusal(path, f"expected at most {max_bytes} bytes, and it grows")
    return content


def utf_8_text(content: bytes) -> str:
    """Return the text of a file.

    Raises
    ------
    ValueError
        It is not UTF-8; the message says what it is, as far as that is known.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf_16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        what = "found UTF-16; save it as UTF-8" if utf_16 else error.reason
        raise ValueError(f"expected UTF-8 text: {what}") from error


def _check(status: os.stat_result, path: str | os.PathLike[str], max_bytes: int | None) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise _refusal(path, f"expected a regular file, found {kind}")
    if max_bytes is not None and status.st_size > max_bytes:
        raise _refusal(path, f"expected at most {max_bytes} bytes, found {status.st_size}")


def _refuse_holes(descriptor: int, path: str | os.PathLike[str]) -> None:
    """Refuse a file that the disk holds next to nothing of."""
    status = os.fstat(descriptor)
    stored = getattr(status, "st_blocks", None)
    if stored is None or not expands_too_far(status.st_size, 512 * stored):
        return
    # Some file systems do not count blocks, or compress; only one that names a hole is believed.
    if os.lseek(descriptor, 0, os.SEEK_HOLE) < status.st_size:
        raise _refusal(path, f"expected {status.st_size} bytes, found a sparse file of few")
    os.lseek(descriptor, 0, os.SEEK_SET)


def _refusal(path: str | os.PathLike[str], why: str) -> OSError:
    return OSError(errno.EINVAL, why, os.fspath(path))
