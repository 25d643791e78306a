"""Whether the state of a checkpoint can be one of a training: checked before it is restored.

Types and ranges are those of `backprop_cli.runs.state`. Here numbers are compared with each other
and with the training, so that what is restored can go on. Every function raises ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backprop_cli.losses import Array
from backprop_cli.runs.history import HistoryLine
from backprop_cli.runs.state import DescentState, LbfgsState, SearchState
from backprop_cli.solvers.descent import Descent
from backprop_cli.solvers.optimum import LbfgsTraining
from backprop_cli.solvers.training import Training

_MAX_ENTRY, _MIN_NORM, _MIN_PRODUCT = 1e100, 1e-100, 1e-250  # of what L-BFGS remembers


def check_state(training: Training, arrays: Mapping[str, Array], progress: Any) -> None:
    """Refuse a state that a training cannot be in; pydantic's errors are ValueErrors."""
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"finite numbers in {name}")
    if isinstance(training, LbfgsTraining):
        _check_lbfgs(training, arrays, LbfgsState.model_validate(progress))
    elif isinstance(training, Descent):
        _check_descent(training, DescentState.model_validate(progress))


def check_history(history: Sequence[HistoryLine], most: int, what: str) -> None:
    """Refuse records that are not those of the epochs 1, 2 and so on, up to ``most``."""
    epochs = [line.epoch for line in history]
    if epochs != list(range(1, len(epochs) + 1)) or len(epochs) > most:
        raise ValueError(f"{what}: the epochs from 1 to {most} at most")


def _check_descent(training: Descent, state: DescentState) -> None:
    n_models, done = len(training.settings.models), state.epochs_finished
    for name in ("history", "diverged", "selections"):
        _check_length(getattr(state, name), n_models, name)
    for name in ("losses", "right"):
        _check_length(getattr(state.of_steps, name), n_models, f"of_steps.{name}")
    most = state.step * training.batch_size
    if max(state.of_steps.right) > most:
        raise ValueError(f"of_steps.right: at most {most}, the examples of the epoch's steps")
    if done > training.n_epochs:
        raise ValueError(f"at most {training.n_epochs} finished epochs, found {done}")
    last = 0 if done == training.n_epochs else training.steps_per_epoch
    if state.step > last:
        raise ValueError(f"at most {last} steps of epoch {done + 1}, found {state.step}")
    for m, (own, history) in enumerate(zip(state.selections, state.history, strict=True)):
        _check_length(history, None if own.stopped else done, f"history.{m}")
        check_history(history, done, f"history.{m}")
        evaluated = {e for e in range(1, len(history) + 1) if training.solver.evaluates(e)}
        if own.best_epoch not in (evaluated or {0}):
            raise ValueError(f"selections.{m}.best_epoch: one of the epochs that were evaluated")
        if (own.kept_epoch or 0) not in (range(1, len(history) + 1) if history else {0}):
            raise ValueError(f"selections.{m}.kept_epoch: one of the epochs of its history")
        if state.diverged[m] is not None and not own.stopped:
            raise ValueError(f"selections.{m}: a model that has diverged to be stopped")


def _check_lbfgs(training: LbfgsTraining, arrays: Mapping[str, Array], state: LbfgsState) -> None:
    n_models, paths = len(training.settings.models), training.progress()["paths"]
    _check_length(state.history, n_models, "history")
    _check_length(state.paths, len(paths), "paths")
    for k, (own, path) in enumerate(zip(state.paths, paths, strict=True)):
        if own != path[len(path) - len(own) :]:
            raise ValueError(f"paths.{k}: the end of {path}")
    if state.dtype not in (training.settings.dtype, "float64"):
        raise ValueError(f"dtype: {training.settings.dtype} or float64")
    searching, found = [m for m, _ in state.searches], [m for m, _ in state.found]
    left = [m for path in paths for m in path if not any(m in own for own in state.paths)]
    begun = bool(searching or found)
    heads = [own[0] for own in state.paths if own] if begun else []
    _check_models(searching, heads, "searches")
    _check_models(found, left, "found")
    known = [m for m, _ in state.bounds]
    if len(set(known)) < len(known) or not set(searching) <= set(known) <= set(range(n_models)):
        raise ValueError("bounds: those of the models that are searched for")
    if len(set(state.unjudged)) < len(state.unjudged) or not set(state.unjudged) <= set(searching):
        raise ValueError("unjudged: some of the models that are searched for")
    for m, history in enumerate(state.history):
        check_history(history, state.epochs_finished if begun else 0, f"history.{m}")
        if m in found and not history:
            raise ValueError(f"history.{m}: an epoch")
        if history:
            kept = training.kept(m)
            for name, like in ((f"kept_W_{m}", kept.W), (f"kept_b_{m}", kept.b)):
                _check_array(arrays, name, like.shape, str(like.dtype))
    looked = [m for m, _ in state.hessians]
    if len(set(looked)) < len(looked) or not set(looked) <= set(searching):
        raise ValueError("hessians: those of some of the models that are searched for")
    for m, model in state.hessians:
        if not any({m, model} <= set(path) for path in paths):
            raise ValueError(f"hessians: {m} and {model}: models of the same path")
        size = training.kept(m).W.shape
        _check_array(arrays, f"hessian_{m}", (size[0], size[1] + 1), "float64")
    for m, search in state.searches:
        shape = training.kept(m).W.shape
        _check_search(arrays, m, search, (shape[0], shape[1] + 1))


def _check_search(
    arrays: Mapping[str, Array], m: int, state: SearchState, shape: tuple[int, ...]
) -> None:
    high, low = state.high, state.low
    if not (low.t < state.t and (high is None or state.t < high.t)):
        raise ValueError(f"searches.{m}.t: between low and high")
    if not (np.isfinite(low.cost) and np.isfinite(low.slope)):
        raise ValueError(f"searches.{m}.low: finite numbers")
    for name in ("theta", "gradient"):
        _check_array(arrays, f"{name}_{m}", shape, "float64")
    for k in range(state.remembered):
        names = f"step_{m}_{k}", f"change_{m}_{k}"
        for name in names:
            _check_array(arrays, name, shape, "float64")
        step, change = (arrays[name] for name in names)
        small = min(np.linalg.norm(step), np.linalg.norm(change)) < _MIN_NORM
        if small or np.vdot(step, change) < _MIN_PRODUCT:
            raise ValueError(f"{names[0]} and {names[1]}: a step along which the cost curves up")


def _check_models(found: Sequence[int], expected: Sequence[int], name: str) -> None:
    if sorted(found) != sorted(expected):
        raise ValueError(f"{name}: models {sorted(expected)}, found {sorted(found)}")


def _check_length(found: Sequence[Any], expected: int | None, name: str) -> None:
    if expected is not None and len(found) != expected:
        raise ValueError(f"{name}: {expected} entries, found {len(found)}")


def _check_array(
    arrays: Mapping[str, Array], name: str, shape: tuple[int, ...], dtype: str
) -> None:
    found = arrays.get(name)
    if found is None or found.shape != shape or str(found.dtype) != dtype:
        raise ValueError(f"{name} of {' x '.join(map(str, shape))} {dtype}")
    if float(np.abs(found).max(initial=0.0)) > _MAX_ENTRY:
        raise ValueError(f"numbers up to {_MAX_ENTRY} in {name}")
