"""Opening data files, and the errors that are common to all of them."""

from __future__ import annotations

import difflib
import glob
import pathlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from backprop_cli.cache import data_folder
from backprop_cli.config.data import Cifar10Data, Cifar100Data, IdxData
from backprop_cli.errors import DataError
from backprop_cli.formats import ways_out
from backprop_cli.regular import expands_too_far, open_regular


def folder(path: str) -> pathlib.Path:
    """Return the folder at ``path``; refuse one that does not exist."""
    found = pathlib.Path(path).expanduser()
    with reading(path):
        if not found.exists():
            way = _download(found) or ways_out.for_no_folder(found)
            raise DataError(
                f"{path}: expected a folder with data files, found nothing there; {way}"
            )
        if not found.is_dir():
            way = ways_out.for_a_file(found)
            raise DataError(
                f"{path}: expected a folder with data files, found a file" + (way and f"; {way}")
            )
    return found


def _download(path: pathlib.Path) -> str:
    """Return how to get a data set that is looked for where downloads are kept."""
    if not path.is_relative_to(data_folder()) or path == data_folder():
        return ""
    name = path.relative_to(data_folder()).parts[0]
    return f"backprop data download {name} puts it there"


def matching(path: str) -> list[pathlib.Path]:
    """Return the files that a name or a pattern stands for, in the order of their names.

    Raises
    ------
    DataError
        There is none, or one is no regular file.
    """
    single = pathlib.Path(path).expanduser()
    with reading(path):
        if not glob.has_magic(path) or single.exists():
            return [single]
        names = sorted(glob.glob(str(single)))  # noqa: PTH207 - Path.glob finds hidden files too
    found = [pathlib.Path(name) for name in names]
    for file in found:  # to leave one out would be to train without its examples
        if not file.is_file():
            with reading(str(file)):
                open_regular(file).close()
    if not found:
        raise DataError(f"{path}: no file has such a name")
    return found


def order_by_number(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Return files ordered as people count: part-2 before part-10."""
    return sorted(
        paths, key=lambda p: [int(t) if t.isdecimal() else t for t in re.split(r"(\d+)", str(p))]
    )


_ARCHIVES = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".zip", ".7z")
_HEADER = 1000  # bytes of a text's first line that are looked at
_PICKLES = {
    ".pt": "torch.load('{}').numpy()",
    ".pth": "torch.load('{}').numpy()",
    ".pkl": "pickle.load(open('{}', 'rb'))",
    ".pickle": "pickle.load(open('{}', 'rb'))",
    ".joblib": "joblib.load('{}')",
}


def way_out(path: pathlib.Path) -> str:
    """Return what is wrong with a file of features that has the wrong format, and what to do."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return f"expected a file, found a folder{_patterns(path)}"
    if suffix in _ARCHIVES:
        return "is packed; unpack it, and name what is in it"
    if suffix in _PICKLES:
        load = _PICKLES[suffix].format(path)
        return (
            "is a pickle, which could run code when it is read; if you trust it, convert it once: "
            f"numpy.save('features.npy', {load})"
        )
    if suffix in (".csv", ".txt", ".tsv"):
        comma = ", delimiter=','" if suffix == ".csv" else ""
        if _has_header(path):
            comma += ", skiprows=1"
        return (
            "is text, which is slow to read as features; convert it once: "
            f"numpy.save('features.npy', numpy.loadtxt('{path}'{comma}, dtype='float32'))"
        )
    return "expected a name that ends in .npy, .npz, .safetensors or .parquet"


def _has_header(path: pathlib.Path) -> bool:
    """Whether the first line of a text begins with something else than a number."""
    try:
        with open_regular(path) as file:
            first = file.readline(_HEADER).replace(b",", b" ").split()
    except OSError:
        return False
    try:
        float(first[0] if first else 0)
    except ValueError:
        return True
    return False


def _patterns(folder: pathlib.Path) -> str:
    """Return the pattern that names the files of features in a folder or one below it."""
    for suffix in (".npy", ".npz", ".safetensors", ".parquet"):
        for pattern in (f"*{suffix}", f"*/*{suffix}"):
            found = next(folder.glob(pattern), None)
            if found is not None:
                return f"; it has {found.name}: {found.parent}/*{suffix} names all such files"
    return ""


def existing(directory: pathlib.Path, *names: str) -> pathlib.Path:
    """Return the first of ``names`` that is a file in ``directory``."""
    for name in names:
        candidate = directory / name
        with reading(candidate):
            if candidate.is_file():
                return candidate
    there = sorted(p.name for p in directory.iterdir() if p.is_file())
    near = sorted(difflib.get_close_matches(names[0], there, n=3, cutoff=0.5)) or there[:5]
    more = ", ..." if len(near) < len(there) else ""
    hint = f"; the folder has {', '.join(near)}{more}" if near else "; the folder has no files"
    way = ways_out.for_no_file(directory, names)
    hint = f"; {way}" if way else hint
    raise DataError(f"{directory / names[0]}: no such file{hint}")


def training_files(
    data: Cifar10Data | Cifar100Data | IdxData,
    default: Sequence[str],
    default_test: str,
    suffix: str,
) -> list[str]:
    """Return the files to train on, without those named for validation or test.

    Files are compared, not their names: a name may be spelt in several ways, or be a link.

    Parameters
    ----------
    data
        The data section of a config.
    default, default_test
        The training files and the test file of the format.
    suffix
        What a file's name may end in besides.

    Raises
    ------
    DataError
        If a file is named twice, or none is left.
    """
    directory = folder(data.path)

    def identity(name: str) -> FileIdentity:
        return file_identity(existing(directory, name, f"{name}{suffix}"))

    test = default_test if data.test is None else data.test
    held = [identity(part) for part in (data.validation, test) if isinstance(part, str)]
    if len(set(held)) < len(held):
        raise DataError(f"data.validation: {data.validation} is also the test file")
    if data.train is None:
        left = [name for name in default if identity(name) not in held]
        if not left:
            raise DataError(f"{data.path}: validation and test leave no file to train on")
        return left
    seen: set[FileIdentity] = set()
    for name in data.train:
        found = identity(name)
        if found in held:
            raise DataError(f"data.train: {name} is also a file of validation or test")
        if found in seen:
            raise DataError(f"data.train: {name} is named twice")
        seen.add(found)
    return data.train


FileIdentity = tuple[int, int]
"""Device and number of a file: the same for all names of it, links included."""


def file_identity(path: pathlib.Path) -> FileIdentity:
    """Return what tells a file from others, however its name is spelt."""
    with reading(path):
        status = path.stat()
    return status.st_dev, status.st_ino


def refuse_bomb(path: pathlib.Path, unpacked: int, packed: int) -> None:
    """Refuse a file that is small on disk and would be huge in memory.

    Raises
    ------
    DataError
        See `expands_too_far`.
    """
    if expands_too_far(unpacked, packed):
        raise DataError(
            f"{path}: {packed} bytes would unpack to {unpacked}; if this is intended, "
            "unpack the file first"
        )


@contextmanager
def reading(path: pathlib.Path | str) -> Iterator[None]:
    """Turn the system's errors in reading ``path`` into a DataError."""
    try:
        yield
    except (EOFError, MemoryError) as error:
        raise DataError(f"{path}: cut short, or not what its name says") from error
    except OSError as error:
        raise DataError(f"{path}: cannot read: {error.strerror or error}") from error
