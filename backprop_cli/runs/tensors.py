"""Reading safetensors files, whatever their names: the library's own reader takes text alone."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from backprop_cli.errors import ModelFileError, first_line
from backprop_cli.regular import open_regular

MAX_TEXT = 2**26
"""Bytes of a header, which holds the config, the names of classes, or a history."""


def read_tensors(path: pathlib.Path, what: str) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Return the metadata and the arrays of a file.

    Parameters
    ----------
    path
        The file.
    what
        What to call it in messages, as in "model file".

    Raises
    ------
    ModelFileError
        It cannot be read, or is no whole file of this kind. FileNotFoundError is passed on.
    """
    try:
        with open_regular(path) as stream:
            content = stream.read()
        n = int.from_bytes(content[:8], "little")
        if n > MAX_TEXT:
            raise ModelFileError(f"{path}: not a whole {what}: a header of {n} bytes")
        arrays: dict[str, NDArray[Any]] = load(content)
        metadata = json.loads(content[8 : 8 + n]).get("__metadata__") or {}
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ModelFileError(f"{path}: cannot read: {error.strerror or error}") from error
    except ModelFileError:
        raise
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: not a whole {what}: {first_line(error)}") from error
    except (MemoryError, OverflowError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a whole {what}") from error
    return metadata, {name: np.asarray(array) for name, array in arrays.items()}
