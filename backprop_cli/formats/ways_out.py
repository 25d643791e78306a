"""What to do where data is not where the config says: unpack it, go a folder down, or get it."""

from __future__ import annotations

import contextlib
import pathlib
import shlex
from collections.abc import Sequence

from backprop_cli.downloads.catalogue import DATA_SETS

_PACKED = (".tar.gz", ".tgz", ".tar", ".zip")
_GET_IT = "backprop data download {} gets it, and says what to write here; or see data/README.md"


def for_no_folder(path: pathlib.Path) -> str:
    """Return what to do where there is no folder: unpack the file beside it, or get the data."""
    with contextlib.suppress(OSError, ValueError):
        words = path.name.lower().replace("_", "-").split("-")
        for other in sorted(path.parent.iterdir()):
            if other.name.lower().endswith(_PACKED) and other.name.lower().startswith(words[0]):
                return _unpack(other)
    plain = str(path).lower().replace("-", "").replace("_", "")
    known = [name for name in DATA_SETS if name.replace("-", "") in plain]
    return _GET_IT.format(max(known, key=len, default="NAME"))  # cifar100, not cifar10


def for_a_file(path: pathlib.Path) -> str:
    """Return what to do where a file is named in place of a folder; "" if nothing is known."""
    return _unpack(path) if path.name.lower().endswith(_PACKED) else ""


def for_no_file(directory: pathlib.Path, names: Sequence[str]) -> str:
    """Return what to do where a folder lacks its files: they may be a level down, or packed."""
    with contextlib.suppress(OSError, ValueError):
        there = sorted(directory.iterdir())
        for other in there:
            if other.is_dir() and any((other / name).is_file() for name in names):
                return f"did you mean data.path: {other}?"
        for other in there:
            if other.name.lower().endswith(_PACKED):
                return _unpack(other)
    return ""


def _unpack(file: pathlib.Path) -> str:
    name, folder = shlex.quote(str(file)), shlex.quote(str(file.parent))
    if file.name.lower().endswith(".zip"):
        return f"unpack it: unzip {name} -d {folder}"
    return f"unpack it: tar -xf {name} -C {folder}"
