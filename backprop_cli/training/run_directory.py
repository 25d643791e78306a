"""The run directory: what a run leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from backprop_cli.atomic import write_atomically
from backprop_cli.config import Config, config_text, load_config
from backprop_cli.errors import ModelFileError, OutputError
from backprop_cli.training.model_file import FILE_NAME, LinearModel, load_model, save_model

CONFIG, METRICS, SUMMARY = "config.yaml", "metrics.jsonl", "summary.json"
_SECONDS_BETWEEN_WRITES = 1.0


class RunDirectory:
    """Writes a run's files, each whole or not at all.

    ``config.yaml`` is written at once; history and model after an epoch if the last writing is a
    second ago or more, so that short epochs do not wait for the disk, and at the end.
    """

    def __init__(self, path: pathlib.Path, config: Config) -> None:
        self.path, self._config = path, config
        self._lines: list[str] = []
        self._written = -_SECONDS_BETWEEN_WRITES
        content = config_text(config).encode()
        claim_folder(path, content)
        try:
            with (path / CONFIG).open("xb") as stream:  # of two runs that start now, one gets it
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        except FileExistsError:
            claim_folder(path, content)
        except OSError as error:
            raise OutputError(f"{path / CONFIG}: cannot write: {error.strerror}") from error

    def abandon(self) -> None:
        """Take back the config: nothing was trained, and another try must not be refused."""
        with contextlib.suppress(OSError):
            (self.path / CONFIG).unlink()

    def record(self, line: Mapping[str, Any], model: LinearModel) -> None:
        """Take an epoch's line of history and the model to keep now."""
        self._lines.append(json.dumps(line) + "\n")
        if time.monotonic() - self._written >= _SECONDS_BETWEEN_WRITES:
            self.save(model)

    def save(self, model: LinearModel) -> None:
        """Write history and model now."""
        save_model(self.path / FILE_NAME, model, self._config)
        write_atomically(self.path / METRICS, "".join(self._lines).encode())
        self._written = time.monotonic()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the figures of the end."""
        write_atomically(self.path / SUMMARY, (json.dumps(summary, indent=2) + "\n").encode())


def claim_folder(path: pathlib.Path, config: bytes | None = None) -> None:
    """Make a folder for a run, or check that it holds none.

    Raises
    ------
    OutputError
        It cannot be made or read, or holds a run.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        there = [name for name in (FILE_NAME, METRICS, SUMMARY) if (path / name).exists()]
        # A config alone is a run that was stopped before its first epoch: nothing to lose, unless
        # it is another one, perhaps written by hand.
        if (path / CONFIG).exists() and (path / CONFIG).read_bytes() != config:
            there.append(CONFIG)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot use this folder: {why}") from error
    if there:
        raise OutputError(
            f"{path}: holds a run already ({there[0]}); choose another folder with --output, "
            "or remove this one"
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
        It is no run, it has not finished an epoch, or a file of it is broken.
    """
    config = load_config(run_config_file(path), overrides)
    model_file = pathlib.Path(path) / FILE_NAME
    if not model_file.is_file():
        raise ModelFileError(f"{path}: no {FILE_NAME}: the run has not finished an epoch")
    return config, load_model(model_file)
