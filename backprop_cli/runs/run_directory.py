"""The run directory: what a run leaves behind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backprop_cli.atomic import remove_leftovers, write_atomically
from backprop_cli.config import Config, config_text, load_config
from backprop_cli.errors import ModelFileError, OutputError
from backprop_cli.jsontext import to_json
from backprop_cli.model import LinearModel
from backprop_cli.runs import checkpoint
from backprop_cli.runs.model_file import FILE_NAME, load_model, save_model
from backprop_cli.solvers.observer import EpochRecord

_ALWAYS = ("epoch", "seconds", "learning_rate")  # numbers, of every epoch
CONFIG, METRICS, SUMMARY = "config.yaml", "metrics.jsonl", "summary.json"
SWEEP_TABLE, SWEEP_HISTORY = "sweep.json", "sweep.jsonl"
_FILES = (FILE_NAME, METRICS, SUMMARY, checkpoint.FILE_NAME, SWEEP_TABLE, SWEEP_HISTORY, CONFIG)


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
        write_atomically(self.path / METRICS, text.encode())
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
        return hashlib.sha256((path / FILE_NAME).read_bytes()).hexdigest()
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


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Keep other processes out of a run directory, as long as this one lives.

    Raises
    ------
    OutputError
        Another process is in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows: nothing is locked there
        yield
        return
    try:
        folder = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{path}: cannot use this folder: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise OutputError(f"{path}: another process is training there") from error
    except OSError:  # a file system without locks
        pass
    else:
        for name in _FILES:
            remove_leftovers(path / name)
    try:
        yield
    finally:
        os.close(folder)


def refuse_run(path: pathlib.Path, config: Config | None = None) -> None:
    """Refuse a folder that holds a run.

    Raises
    ------
    OutputError
        Says how to go on with it.
    """
    try:
        there = [name for name in _FILES if name != CONFIG and (path / name).exists()]
        # A config alone is a run that was stopped before its first step: nothing to lose, unless
        # it is another one, perhaps written by hand.
        own = None if config is None else config_text(config).encode()
        if (path / CONFIG).exists() and (path / CONFIG).read_bytes() != own:
            there.append(CONFIG)
    except OSError as error:
        raise OutputError(f"{path}: cannot use this folder: {error.strerror}") from error
    if there:
        raise OutputError(
            f"{path}: holds a run already ({there[0]}); go on with it by --resume, or choose "
            "another folder with --output"
        )


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


def load_history(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the lines of a run's history; none if no epoch has finished.

    Raises
    ------
    ModelFileError
        It is broken.
    """
    file = path / METRICS
    try:
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{file}: not a whole history: {error}") from error
    for number, line in enumerate(lines, 1):
        good = isinstance(line, dict)
        try:
            EpochRecord.from_mapping(line if good else {})
        except TypeError:
            good = False
        numbers = (
            all(type(v) in (int, float) for k, v in line.items() if k in _ALWAYS) if good else False
        )
        if not numbers or any(isinstance(v, bool | str | list | dict) for v in line.values()):
            raise ModelFileError(f"{file}:{number}: expected the figures of an epoch")
    return lines


def load_summary(path: pathlib.Path) -> dict[str, Any] | None:
    """Return a run's summary, or None if it has not finished.

    Raises
    ------
    ModelFileError
        It is broken.
    """
    file = path / SUMMARY
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{file}: not a whole summary: {error}") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{file}: expected an object, found {type(content).__name__}")
    return content
