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
from backprop_cli.engine import DescentState
from backprop_cli.errors import ModelFileError
from backprop_cli.losses import Array
from backprop_cli.solvers.descent import Descent
from backprop_cli.solvers.observer import EpochRecord
from backprop_cli.solvers.selection import Kept

FILE_NAME = "checkpoint.safetensors"
_KEY, _DIGEST, _FORMAT = "backprop-checkpoint", "sha256", 2


def save_checkpoint(
    path: pathlib.Path,
    descent: Descent,
    about: Mapping[str, Any],
    more: Mapping[str, Array] | None = None,
) -> None:
    """Write the state of training.

    Parameters
    ----------
    path
        The file; replaced whole.
    descent
        Between two steps.
    about, more
        What else is to be there at the resumption: plain values, and arrays by names of their own.
    """
    state = descent.state
    # Before an epoch has ended there is nothing kept; the shapes are the same.
    kept = [
        selection.kept or Kept(0, state.W[m], state.b[m])
        for m, selection in enumerate(descent.selections)
    ]
    tensors = {
        **_arrays(state),
        "kept_W": np.stack([own.W for own in kept]),
        "kept_b": np.stack([own.b for own in kept]),
        **(more or {}),
    }
    progress = {
        "epochs_finished": descent.epochs_finished,
        "step": descent.step,
        "seconds": descent.seconds,
        "diverged": descent.diverged,
        "history": [[record.to_mapping() for record in own] for own in descent.history],
        "selections": [
            {
                "kept_epoch": selection.kept.epoch if selection.kept else None,
                "best_epoch": selection.best_epoch,
                "best": selection.best,
                "stopped": selection.stopped,
            }
            for selection in descent.selections
        ],
    }
    text = json.dumps({"format": _FORMAT, "descent": progress, "about": about})
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
            self._progress: dict[str, Any] = content["descent"]
        except ModelFileError:
            raise
        except (SafetensorError, OSError, TypeError, ValueError, KeyError, RecursionError) as error:
            raise ModelFileError(f"{path}: not a whole checkpoint: {error}") from error

    def restore(self, descent: Descent) -> None:
        """Bring training that has not begun to the state that was saved.

        Raises
        ------
        ModelFileError
            The checkpoint is of another model.
        """
        state, progress = descent.state, self._progress
        for name, place in _arrays(state).items():
            place[...] = self._array(name, place)
        kept = self._array("kept_W", state.W), self._array("kept_b", state.b)
        try:
            descent.epochs_finished, descent.step = progress["epochs_finished"], progress["step"]
            descent.seconds = progress["seconds"]
            descent.diverged[:] = progress["diverged"]
            descent.history = [
                [EpochRecord.from_mapping(line) for line in own] for own in progress["history"]
            ]
            selections = zip(descent.selections, progress["selections"], strict=True)
            for m, (selection, saved) in enumerate(selections):
                if saved["kept_epoch"] is not None:
                    selection.kept = Kept(saved["kept_epoch"], kept[0][m], kept[1][m])
                selection.best_epoch, selection.stopped = saved["best_epoch"], saved["stopped"]
                best = saved["best"]
                selection.best = None if best is None else (float(best[0]), float(best[1]))
        except (TypeError, ValueError, KeyError) as error:
            raise self._broken(f"the state of training: {error}") from error

    def _array(self, name: str, like: Array) -> Array:
        found: Array | None = self.arrays.get(name)
        if found is None or found.shape != like.shape or found.dtype != like.dtype:
            raise self._broken(f"{name} of {like.dtype}, {' x '.join(map(str, like.shape))}")
        return found

    def _broken(self, expected: str) -> ModelFileError:
        return ModelFileError(f"{self._path}: not a checkpoint of this run: expected {expected}")


def _digest(text: str, tensors: Mapping[str, Array]) -> str:
    """Return a SHA-256 of all that a checkpoint holds."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()


def _arrays(state: DescentState) -> dict[str, Array]:
    """Return the arrays of a state of descent by name."""
    return {
        "W": state.W,
        "b": state.b,
        "velocity_W": state.velocity_W,
        "velocity_b": state.velocity_b,
    }
