"""Opening data files: what can go wrong with any of them is said here, once."""

from __future__ import annotations

import difflib
import pathlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from backprop_cli.config.schema import Cifar10Data, Cifar100Data, IdxData
from backprop_cli.errors import DataError


def folder(path: str) -> pathlib.Path:
    """Return ``path`` as a folder that exists."""
    found = pathlib.Path(path).expanduser()
    with reading(path):
        if not found.exists():
            raise DataError(f"{path}: expected a folder with data files, found nothing there")
        if not found.is_dir():
            raise DataError(f"{path}: expected a folder with data files, found a file")
    return found


def existing(directory: pathlib.Path, *names: str) -> pathlib.Path:
    """Return the first of ``names`` that is a file of ``directory``."""
    for name in names:
        candidate = directory / name
        with reading(candidate):
            if candidate.is_file():
                return candidate
    there = sorted(p.name for p in directory.iterdir() if p.is_file())
    near = sorted(difflib.get_close_matches(names[0], there, n=3, cutoff=0.5)) or there[:5]
    more = ", ..." if len(near) < len(there) else ""
    hint = f"; the folder has {', '.join(near)}{more}" if near else "; the folder has no files"
    raise DataError(f"{directory / names[0]}: no such file{hint}")


def training_files(
    data: Cifar10Data | Cifar100Data | IdxData, default: Sequence[str], default_test: str
) -> list[str]:
    """Return the files to train on: none of those that validation or test are named to be.

    Raises
    ------
    DataError
        A file is asked for twice, or none is left.
    """
    test = default_test if data.test is None else data.test
    held = [part for part in (data.validation, test) if isinstance(part, str)]
    if len(set(held)) < len(held):
        raise DataError(f"data.validation: {held[0]} is the test file too")
    if data.train is None:
        left = [name for name in default if name not in held]
        if not left:
            raise DataError(f"{data.path}: validation and test leave no file to train on")
        return left
    for name in data.train:
        if name in held or data.train.count(name) > 1:
            raise DataError(f"data.train: {name} is asked for twice")
    return data.train


_MOST_EXPANSION, _MOST_EXPANDED = 200, 2**28


def refuse_bomb(path: pathlib.Path, unpacked: int, packed: int) -> None:
    """Refuse what is small on the disk and would be huge in memory.

    Raises
    ------
    DataError
        More than 200 times the size, and more than 256 MB.
    """
    if unpacked > _MOST_EXPANDED and unpacked > _MOST_EXPANSION * packed:
        raise DataError(
            f"{path}: {packed} bytes that unpack to {unpacked}: refused; if that is meant, "
            "unpack the file first"
        )


@contextmanager
def reading(path: pathlib.Path | str) -> Iterator[None]:
    """Turn the system's errors while reading ``path`` into a DataError."""
    try:
        yield
    except (EOFError, MemoryError) as error:
        raise DataError(f"{path}: cut short, or not what its name says") from error
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror or error}") from error
