"""The state of training as a file: what `--resume` goes on from.

The order of examples, the flips and the learning rates are not in it: they follow from the seed,
the epoch and the step. What is in it goes through the file without losing a bit.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from backprop_cli.atomic import write_atomically
from backprop_cli.errors import ModelFileError
from backprop_cli.losses import Array
from backprop_cli.solvers.training import Training

FILE_NAME = "checkpoint.safetensors"
_KEY, _DIGEST, _FORMAT = "backprop-checkpoint", "sha256", 3


def save_checkpoint(
    path: pathlib.Path,
    training: Training,
    about: Mapping[str, Any],
    more: Mapping[str, Array] | None = None,
) -> None:
    """Write the state of training.

    Parameters
    ----------
    path
        The file; replaced whole.
    training
        Between two steps.
    about, more
        What else is to be there at the resumption: plain values, and arrays by names of their own.
    """
    tensors = {**training.arrays(), **(more or {})}
    progress = training.progress()
    text = json.dumps({"format": _FORMAT, "training": progress, "about": about})
    write_atomically(path, save(tensors, {_KEY: text, _DIGEST: _digest(text, tensors)}))


class Checkpoint:
    """A checkpoint that was read.

    Attributes
    ----------
    about
        What was saved beside the state of training.
    arrays
        All arrays, by name.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Read a file.

        Raises
        ------
        ModelFileError
            It is broken, or no checkpoint.
        """
        self._path = path
        self.arrays: dict[str, Array]
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                self.arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
            if _KEY not in metadata:
                raise ModelFileError(f"{path}: not a checkpoint of a run or a sweep")
            text = metadata[_KEY]
            content = json.loads(text)
            if content["format"] != _FORMAT:
                raise self._broken(f"format {_FORMAT}, found {content['format']}")
            if metadata.get(_DIGEST) != _digest(text, self.arrays):
                raise ModelFileError(f"{path}: damaged: it is not as it was written")
            self.about: dict[str, Any] = content["about"]
            self._progress: dict[str, Any] = content["training"]
        except ModelFileError:
            raise
        except (SafetensorError, OSError, TypeError, ValueError, KeyError, RecursionError) as error:
            raise ModelFileError(f"{path}: not a whole checkpoint: {error}") from error

    def restore(self, training: Training) -> None:
        """Bring training that has not begun to the state that was saved.

        Raises
        ------
        ModelFileError
            The checkpoint is of another model.
        """
        try:
            training.restore(self.arrays, self._progress)
        except (TypeError, ValueError, KeyError) as error:
            raise self._broken(f"the state of training: {error}") from error

    def _broken(self, expected: str) -> ModelFileError:
        return ModelFileError(f"{self._path}: not a checkpoint of this run: expected {expected}")


def _digest(text: str, tensors: Mapping[str, Array]) -> str:
    """Return a SHA-256 of all that a checkpoint holds."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()
