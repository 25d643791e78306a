"""Paths of a config that hold from any working directory."""

from __future__ import annotations

import pathlib

from backprop_cli.config.schema import Config
from backprop_cli.errors import OutputError


def with_absolute_paths(config: Config, output: str | None = None) -> Config:
    """Return the config with absolute paths, so that it holds from any working directory.

    Parameters
    ----------
    config
        The config as it was read.
    output
        The run directory, if it is another one than the config names.

    Raises
    ------
    OutputError
        If the run directory is the empty text, or is below the home of an unknown user.
    """
    data = {}
    for key in (*config.data.path_keys, *config.data.row_keys):
        value = getattr(config.data, key)
        if isinstance(value, str):
            data[key] = str(pathlib.Path(value).expanduser().absolute())
    folder = config.output if output is None else output
    if not folder:
        raise OutputError("--output: expected a folder, found ''")
    try:
        folder = str(pathlib.Path(folder).expanduser().absolute())
    except RuntimeError as error:
        raise OutputError(f"{folder}: there is no such user") from error
    return config.model_copy(update={"data": config.data.model_copy(update=data), "output": folder})
