"""The run directory: what a run leaves behind."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from backprop_cli.atomic import remove_leftovers, write_atomically
from backprop_cli.config import Config, config_text, load_config
from backprop_cli.config.source import MAX_BYTES
from backprop_cli.errors import ModelFileError, OutputError
from backprop_cli.exclusive import only_process
from backprop_cli.jsontext import to_json
from backprop_cli.model import LinearModel
from backprop_cli.regular import open_regular, read_regular
from backprop_cli.runs import checkpoint, history
from backprop_cli.runs.model_file import FILE_NAME, load_model, save_model
from backprop_cli.runs.stored import Number, Stored, read_stored

CONFIG, SUMMARY = "config.yaml", "summary.json"
_MAX_SUMMARY = 1_000_000  # bytes
SWEEP_TABLE, SWEEP_HISTORY = "sweep.json", "sweep.jsonl"
_FILES = (
    FILE_NAME,
    history.FILE_NAME,
    SUMMARY,
    checkpoint.FILE_NAME,
    SWEEP_TABLE,
    SWEEP_HISTORY,
    CONFIG,
)


class RunDirectory:
    """Writes a run's files, each whole or not at all.

    The checkpoint is the one that counts: history and model are made from it again when a run is
    resumed. Of several processes that train together, one writes.
    """

    def __init__(self, path: pathlib.Path, config: Config, *, writes: bool = True) -> None:
        self.path, self._config, self._writes = path, config, writes

    def write_config(self) -> None:
        """Write the config, by which the folder is a run's."""
        if not self._writes:
            return
        write_atomically(self.path / CONFIG, config_text(self._config).encode())

    def save(self, lines: Sequence[Mapping[str, Any]], model: LinearModel) -> None:
        """Write the history, one line per epoch, and the model."""
        if not self._writes:
            return
        text = "".join(to_json(line) + "\n" for line in lines)
        write_atomically(self.path / history.FILE_NAME, text.encode())
        save_model(self.path / FILE_NAME, model, self._config)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the figures of the end; the checkpoint is of no use any more."""
        if not self._writes:
            return
        write_atomically(self.path / SUMMARY, (to_json(summary, indent=2) + "\n").encode())
        with contextlib.suppress(OSError):
            (self.path / checkpoint.FILE_NAME).unlink()


def model_digest(path: pathlib.Path) -> str:
    """Return the SHA-256 of a run's model file.

    Raises
    ------
    ModelFileError
        It cannot be read.
    """
    try:
        with open_regular(path / FILE_NAME) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(f"{path / FILE_NAME}: cannot read: {error.strerror}") from error


def make_folder(path: pathlib.Path) -> None:
    """Make a folder for a run, if it is not there yet.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot use this folder: {why}") from error


def make_inner_folder(path: pathlib.Path) -> None:
    """Make a folder within a run directory; a link could lead to another one.

    Raises
    ------
    OutputError
        It cannot be made, or is a link.
    """
    if path.is_symlink():
        raise OutputError(f"{path}: expected a folder, found a link; remove it")
    make_folder(path)


@contextlib.contextmanager
def folder_for_run(path: pathlib.Path) -> Iterator[None]:
    """Make a folder for a run, as `make_folder`; remove it in the end if it is still empty."""
    made: list[pathlib.Path] = []
    with contextlib.suppress(OSError, ValueError):  # make_folder says what is wrong
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        make_folder(path)
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError, ValueError):  # it is not empty, or was not made
                folder.rmdir()


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Keep other processes out of a run directory, as long as this one lives.

    Raises
    ------
    OutputError
        Another process is in it.
    """
    with only_process(path, "training") as sure:
        if sure:
            for name in _FILES:
                remove_leftovers(path / name)
        yield


def refuse_results(path: pathlib.Path) -> None:
    """Refuse a folder that holds what a run has written, before its data are read.

    Raises
    ------
    OutputError
        As `refuse_run`, which looks at its config too.
    """
    there = []
    with contextlib.suppress(OSError, ValueError):  # told when it is written
        there = [name for name in _FILES if name != CONFIG and (path / name).exists()]
    if there:
        raise OutputError(f"{path}: {_what_is_there(path, there)} another folder with --output")


def refuse_run(path: pathlib.Path, config: Config | None = None) -> None:
    """Refuse a folder that holds a run.

    Raises
    ------
    OutputError
        Says how to go on with it.
    """
    file = path / CONFIG
    try:
        there = [name for name in _FILES if name != CONFIG and (path / name).exists()]
        # A config alone is a run that was stopped before its first step: nothing to lose, unless
        # it is another one, perhaps written by hand.
        own = None if config is None else config_text(config).encode()
        if file.exists() and read_regular(file, MAX_BYTES) != own:
            there.append(CONFIG)
    except OSError as error:
        raise OutputError(f"{file}: cannot use this folder: {error.strerror}") from error
    if there:
        raise OutputError(f"{path}: {_what_is_there(path, there)} another folder with --output")


def _what_is_there(path: pathlib.Path, files: Sequence[str]) -> str:
    """Return what the files of a folder are of, and how to go on, if that is possible."""
    if SUMMARY in files:
        return "holds a run that has finished; choose"
    if (path / CONFIG).exists():
        how = f"backprop train --resume --output {shlex.quote(str(path))}"
        return f"holds a run that has not finished; go on with it by {how}, or choose"
    if checkpoint.FILE_NAME in files:
        how = "the same backprop sweep with --resume"
        return f"holds a sweep that has not finished; go on with it by {how}, or choose"
    return f"holds {files[0]} of another run; choose"


def run_config_file(path: str) -> pathlib.Path:
    """Return the config file of a run directory that exists.

    Raises
    ------
    ModelFileError
        There is no such folder, or it holds no run.
    """
    folder = pathlib.Path(path)
    try:
        if not folder.is_dir():
            raise ModelFileError(f"{path}: expected the folder of a run, found none")
        if not (folder / CONFIG).is_file() and (folder / checkpoint.FILE_NAME).is_file():
            raise ModelFileError(
                f"{path}: holds a sweep that has not ended; the same backprop sweep with --resume "
                "goes on with it"
            )
        if not (folder / CONFIG).is_file():
            raise ModelFileError(f"{path}: expected the folder of a run, found no {CONFIG} in it")
    except (OSError, ValueError) as error:
        if isinstance(error, ModelFileError):
            raise
        why = error.strerror if isinstance(error, OSError) else error
        raise ModelFileError(f"{path}: expected the folder of a run: {why}") from error
    return folder / CONFIG


def load_run(path: str, overrides: tuple[str, ...] = ()) -> tuple[Config, LinearModel]:
    """Return a run's config, with overrides, and its model.

    Raises
    ------
    ModelFileError, ConfigError
        It is no run, it has not begun, or a file of it is broken.
    """
    config = load_config(run_config_file(path), overrides)
    model_file = pathlib.Path(path) / FILE_NAME
    if not model_file.is_file():
        raise ModelFileError(f"{path}: no {FILE_NAME}: the run has not begun")
    return config, load_model(model_file)


_Positive = Annotated[float, Field(ge=0)]


class TrainedState(Stored):
    """How near the optimum a training ended, as its summary has it."""

    cost: _Positive | None
    gap: _Positive | None
    gradient_norm: _Positive | None


class Summary(Stored):
    """What a run's summary is read for. The figures in it are for people and their scripts."""

    kept_epoch: Number
    train: TrainedState
    model_sha256: str


def load_summary(path: pathlib.Path) -> Summary | None:
    """Return a run's summary, or None if it has not finished.

    Raises
    ------
    ModelFileError
        It is broken.
    """
    return read_stored(path / SUMMARY, Summary, "a whole summary", _MAX_SUMMARY)
