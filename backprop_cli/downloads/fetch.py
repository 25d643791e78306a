"""Downloading: from one mirror after the other, to the right bytes or not at all."""

from __future__ import annotations

import hashlib
import json
import pathlib
import tarfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from backprop_cli.atomic import write_atomically
from backprop_cli.downloads.catalogue import PublishedData, RemoteFile
from backprop_cli.errors import ConfigError, DownloadError, OutputError, first_line

Progress = Callable[[str, int, int], None]
"""Told of a file's name, the bytes that are here, and its size."""

_CONTENTS = ".contents.json"  # of an unpacked archive: SHA-256 by file name
_CHUNK = 1 << 16  # what is lost, at most, where a connection breaks
_TIMEOUT = (10, 60)  # seconds: to connect, and between two packets
_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416


def is_complete(data: PublishedData, folder: pathlib.Path) -> bool:
    """Say whether a folder holds the whole data set, by its checksums."""
    if not data.unpacks:
        return all(_has(folder / file.name, file.sha256) for file in data.files)
    unpacked = data.path(folder)
    try:
        contents = json.loads((unpacked / _CONTENTS).read_text("utf-8"))
        return contents["archive"] == data.files[0].sha256 and all(
            _has(unpacked / name, digest) for name, digest in contents["files"].items()
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def download(
    data: PublishedData,
    folder: pathlib.Path,
    mirrors: Sequence[str] = (),
    progress: Progress = lambda name, done, size: None,
) -> None:
    """Get a data set; what is there already, and is right, is kept.

    Parameters
    ----------
    data
        Which one.
    folder
        Where to put it. A file that was begun is continued.
    mirrors
        Tried before the known ones.
    progress
        Told of every few bytes.

    Raises
    ------
    DownloadError
        No mirror has a file, or none can be reached. Its lines say what to put where by hand.
    OutputError
        The folder cannot be written.
    ConfigError
        pooch is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise ConfigError(
            "data download needs pooch, found none: install backprop-cli[download]"
        ) from error
    if is_complete(data, folder):
        return
    pooch.get_logger().setLevel("ERROR")
    own = tuple(mirror if mirror.endswith("/") else f"{mirror}/" for mirror in mirrors)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in data.files:
            _fetch(pooch, file, folder, (*own, *data.mirrors), progress)
        if data.unpacks:
            _unpack(folder / data.files[0].name, data, folder)
    except DownloadError as error:
        raise DownloadError("\n".join([str(error), *_by_hand(data, folder)])) from error
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot write: {error.strerror or error}") from error


def _by_hand(data: PublishedData, folder: pathlib.Path) -> list[str]:
    """Return what to do without a network, a line each."""
    return [
        f"without a network, put into {folder}, and run the command again:",
        *(f"  {data.mirrors[0]}{file.name} (SHA-256 {file.sha256})" for file in data.files),
    ]


def _fetch(
    pooch: Any, file: RemoteFile, folder: pathlib.Path, mirrors: Sequence[str], progress: Progress
) -> None:
    """Get one file from the first mirror that has it."""
    reasons = []
    for mirror in mirrors:
        url = mirror + file.name
        try:
            pooch.retrieve(
                url,
                f"sha256:{file.sha256}",
                fname=file.name,
                path=folder,
                downloader=_Resuming(folder / f".{file.name}.part", file, progress),
            )
        except _MirrorError as error:
            reasons.append(f"{url}: {error}")
        except ValueError:  # of pooch: another content, or not the address of a file
            reasons.append(f"{url}: not the expected content")
        else:
            return
    raise DownloadError("; ".join(reasons))


class _MirrorError(Exception):
    """A mirror does not give a file; the next one may."""


class _Resuming:
    """Downloads for pooch, going on where an earlier attempt ended.

    Parameters
    ----------
    part
        What there is of the file so far; it stays if the connection breaks.
    file
        What is downloaded.
    progress
        Told of every few bytes.
    """

    def __init__(self, part: pathlib.Path, file: RemoteFile, progress: Progress) -> None:
        self._part, self._file, self._progress = part, file, progress

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        """Download into the file that pooch will check."""
        import requests

        begun = self._part.stat().st_size if self._part.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # or a .gz may arrive unpacked
        if begun:
            headers["Range"] = f"bytes={begun}-"
        try:
            with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
                if answer.status_code != _NO_SUCH_RANGE:  # then it is all here, or another file
                    self._receive(answer, begun)
        except requests.HTTPError as error:
            raise _MirrorError(f"HTTP {error.response.status_code}") from error
        except requests.RequestException as error:
            raise _MirrorError(_why(error)) from error
        self._part.replace(output_file)

    def _receive(self, answer: Any, begun: int) -> None:
        answer.raise_for_status()
        goes_on = answer.status_code == _PARTIAL
        done = begun if goes_on else 0
        with self._part.open("ab" if goes_on else "wb") as stream:
            for chunk in answer.iter_content(_CHUNK):
                stream.write(chunk)
                done += len(chunk)
                self._progress(self._file.name, done, self._file.size)


def _why(error: Exception) -> str:
    """Return in a few words why there is no connection."""
    import requests

    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke; run the command again to go on from there"
    if isinstance(error, requests.ConnectionError):
        return "cannot connect"
    return first_line(error)


def _unpack(archive: pathlib.Path, data: PublishedData, folder: pathlib.Path) -> None:
    """Unpack the files of one folder of an archive, then remove the archive.

    Only plain files directly in that folder are taken, whatever else an archive may hold.
    """
    unpacked = data.path(folder)
    unpacked.mkdir(exist_ok=True)
    digests = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                parent, _, name = member.name.rpartition("/")
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None or parent != data.folder or name.startswith("."):
                    continue
                content = stream.read()
                write_atomically(unpacked / name, content)
                digests[name] = hashlib.sha256(content).hexdigest()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DownloadError(f"{archive}: cannot unpack: {first_line(error)}") from error
    contents = {"archive": data.files[0].sha256, "files": digests}
    write_atomically(unpacked / _CONTENTS, json.dumps(contents, indent=2).encode())
    archive.unlink()


def _has(path: pathlib.Path, sha256: str) -> bool:
    """Say whether a file is there with the right content."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except OSError:
        return False
