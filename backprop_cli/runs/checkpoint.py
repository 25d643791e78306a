"""The state of training as a file: what `--resume` goes on from.

The order of examples, the flips and the learning rates are not in it: they follow from the seed,
the epoch and the step. What is in it goes through the file without losing a bit.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from safetensors.numpy import save

from backprop_cli.atomic import write_atomically
from backprop_cli.errors import ModelFileError
from backprop_cli.losses import Array
from backprop_cli.runs.state import FORMAT, Content
from backprop_cli.runs.state_check import check_state
from backprop_cli.runs.stored import parsed, problem
from backprop_cli.runs.tensors import read_tensors
from backprop_cli.solvers.training import Training

T = TypeVar("T", bound=BaseModel)

FILE_NAME = "checkpoint.safetensors"
_KEY, _DIGEST = "backprop-checkpoint", "sha256"


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
    text = json.dumps({"format": FORMAT, "training": progress, "about": about})
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
        metadata, self.arrays = read_tensors(path, "checkpoint")
        if _KEY not in metadata:
            raise ModelFileError(f"{path}: not a checkpoint of a run or a sweep")
        text = metadata[_KEY]
        if metadata.get(_DIGEST) != _digest(text, self.arrays):
            raise ModelFileError(f"{path}: damaged: it is not as it was written")
        try:
            content = Content.model_validate(parsed(text))
        except ValueError as error:
            raise self._broken(error) from error
        self.about: dict[str, Any] = content.about
        self._progress = content.training

    def restore(self, training: Training) -> None:
        """Bring training that has not begun to the state that was saved.

        Raises
        ------
        ModelFileError
            The checkpoint is of another model.
        """
        try:
            check_state(training, self.arrays, self._progress)
            with np.errstate(all="ignore"):  # as in training
                training.restore(self.arrays, self._progress)
        except ValueError as error:
            raise self._broken(error) from error

    def checked(self, schema: type[T]) -> T:
        """Return `about` as a schema says it must be; raises as `restore` does."""
        try:
            return schema.model_validate(self.about)
        except ValueError as error:
            raise self._broken(error) from error

    def array(self, name: str, like: Array) -> Array:
        """Return an array of the shape and the type of another one; raises as `restore` does."""
        found = self.arrays.get(name)
        if found is None or found.shape != like.shape or found.dtype != like.dtype:
            raise self.refusal(f"{name} of {' x '.join(map(str, like.shape))} {like.dtype}")
        return found

    def refusal(self, expected: str) -> ModelFileError:
        """Return the error about a state that this training cannot be in."""
        return ModelFileError(f"{self._path}: not a checkpoint of this run: expected {expected}")

    def _broken(self, error: ValueError) -> ModelFileError:
        if isinstance(error, ValidationError):
            return ModelFileError(f"{self._path}: not a whole checkpoint: {problem(error)}")
        return self.refusal(str(error))


def _digest(text: str, tensors: Mapping[str, Array]) -> str:
    """Return a SHA-256 of all that a checkpoint holds."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()
