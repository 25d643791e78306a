"""All that a trainer is in the middle of, as a file: what `--resume` goes on from.

The order of examples, the flips and the learning rates are not in it: they follow from the seed,
the epoch and the step. What is in it goes through the file without losing a bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from backprop_cli.atomic import write_atomically
from backprop_cli.engine import Array
from backprop_cli.errors import ModelFileError
from backprop_cli.solvers.loop import EpochRecord, Trainer
from backprop_cli.solvers.selection import Kept

FILE_NAME = "checkpoint.safetensors"
_KEY, _DIGEST, _FORMAT = "backprop-checkpoint", "sha256", 1


def save_checkpoint(
    path: pathlib.Path,
    trainer: Trainer,
    about: Mapping[str, Any],
    more: Mapping[str, Array] | None = None,
) -> None:
    """Write where a trainer stands.

    Parameters
    ----------
    path
        The file; replaced whole.
    trainer
        Between two steps.
    about, more
        What else is to be there at the resumption: plain values, and arrays by names of their own.
    """
    engine, update = trainer.engine, trainer.update
    tensors = {
        "W": engine.W,
        "b": engine.b,
        "velocity_W": update.velocity_W,
        "velocity_b": update.velocity_b,
        "kept_W": np.stack([_kept(trainer, m).W for m in range(engine.n_models)]),
        "kept_b": np.stack([_kept(trainer, m).b for m in range(engine.n_models)]),
        **(more or {}),
    }
    state = {
        "epochs_finished": trainer.epochs_finished,
        "step": trainer.step,
        "seconds": trainer.seconds,
        "diverged": trainer.diverged,
        "history": [[record.to_mapping() for record in own] for own in trainer.history],
        "selections": [
            {
                "kept_epoch": selection.kept.epoch if selection.kept else None,
                "best_epoch": selection.best_epoch,
                "best_figure": _finite(selection.best_figure),
                "stopped": selection.stopped,
            }
            for selection in trainer.selections
        ],
    }
    text = json.dumps({"format": _FORMAT, "trainer": state, "about": about})
    write_atomically(path, save(tensors, {_KEY: text, _DIGEST: _digest(text, tensors)}))


class Checkpoint:
    """A checkpoint that was read.

    Attributes
    ----------
    about
        What was saved beside the trainer.
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
            self._state: dict[str, Any] = content["trainer"]
        except ModelFileError:
            raise
        except (SafetensorError, OSError, TypeError, ValueError, KeyError, RecursionError) as error:
            raise ModelFileError(f"{path}: not a whole checkpoint: {error}") from error

    def restore(self, trainer: Trainer) -> None:
        """Put a new trainer where the saved one stood.

        Raises
        ------
        ModelFileError
            The checkpoint is of another model.
        """
        engine, update, state = trainer.engine, trainer.update, self._state
        for name, place in {
            "W": engine.W,
            "b": engine.b,
            "velocity_W": update.velocity_W,
            "velocity_b": update.velocity_b,
        }.items():
            place[...] = self._array(name, place)
        kept_W, kept_b = self._array("kept_W", engine.W), self._array("kept_b", engine.b)
        try:
            trainer.epochs_finished, trainer.step = state["epochs_finished"], state["step"]
            trainer.seconds = state["seconds"]
            trainer.diverged[:] = state["diverged"]
            trainer.history = [[EpochRecord(**line) for line in own] for own in state["history"]]
            selections = zip(trainer.selections, state["selections"], strict=True)
            for m, (selection, saved) in enumerate(selections):
                if saved["kept_epoch"] is not None:
                    selection.kept = Kept(saved["kept_epoch"], kept_W[m], kept_b[m])
                selection.best_epoch, selection.stopped = saved["best_epoch"], saved["stopped"]
                figure = saved["best_figure"]
                selection.best_figure = -np.inf if figure is None else figure
        except (TypeError, ValueError, KeyError) as error:
            raise self._broken(f"the state of a trainer: {error}") from error

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


def _kept(trainer: Trainer, m: int) -> Kept:
    return trainer.selections[m].kept or Kept(0, trainer.engine.W[m], trainer.engine.b[m])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
