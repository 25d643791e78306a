"""The estimator's parameters, checked, as what training takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import DTypeLike

from backprop_cli.engine import ENGINES
from backprop_cli.errors import ConfigError
from backprop_cli.evaluation.measures import SELECTABLE
from backprop_cli.losses import LOSSES
from backprop_cli.settings import ModelSettings, Settings
from backprop_cli.solvers.methods import FullBatchLbfgs, MiniBatchDescent, Rule, Solver
from backprop_cli.solvers.schedules import Constant, Cosine, Cyclical, Schedule, StepDecay

_MAX_SEED = 2**31 - 1

_SCHEDULES: dict[str, Schedule] = {"constant": Constant(), "cosine": Cosine(minimum=0.0)}
_OBJECTS = (Constant, Cosine, Cyclical, StepDecay)

_CHOICES: dict[str, Sequence[str]] = {
    "loss": tuple(LOSSES),
    "solver": ("sgd", "lbfgs"),
    "standardize": ("none", "per_feature"),
    "dtype": ("auto", "float32", "float64"),
    "keep": ("best", "last"),
    "select_by": SELECTABLE,
    "backend": ("auto", *ENGINES),
}
_COUNTS: dict[str, tuple[object, ...]] = {
    "epochs": ("auto",),
    "batch_size": (),
    "patience": (None,),
    "threads": ("auto",),
}
"""Integers >= 1, and what else each may be."""

_NUMBERS: dict[str, tuple[str, tuple[object, ...]]] = {
    "l2": ("a number >= 0", ()),
    "label_smoothing": ("a number from 0, below 1", ()),
    "tolerance": ("a number above 0, below 1", ()),
    "learning_rate": ("a number > 0", ("auto",)),
    "momentum": ("a number from 0, below 1", ()),
    "initial_std": ("a number >= 0", ()),
}
"""Numbers: their range, and what else each may be."""


def check(params: Mapping[str, Any]) -> None:
    """Refuse parameters of a wrong type, out of range, or that do not go together.

    Raises
    ------
    ConfigError
        Names the parameter, what was expected and what was found.
    """
    for name, choices in _CHOICES.items():
        if not isinstance(params[name], str) or params[name] not in choices:
            raise _mistake(name, f"{', '.join(choices[:-1])} or {choices[-1]}", params[name])
    for name, others in _COUNTS.items():
        value = params[name]
        if not (_is(value, Integral) and value >= 1) and not _is_one_of(value, others):
            raise _mistake(name, " or ".join(["an integer >= 1", *map(str, others)]), value)
    for name, (expected, others) in _NUMBERS.items():
        value = params[name]
        if not (_is(value, Real) and _in_range(name, value)) and not _is_one_of(value, others):
            raise _mistake(name, " or ".join([expected, *map(str, others)]), value)
    schedule = params["schedule"]
    named = isinstance(schedule, str) and schedule in _SCHEDULES
    if not named and not isinstance(schedule, _OBJECTS):
        expected = " or ".join([*_SCHEDULES, "a schedule such as StepDecay(every=10, factor=0.1)"])
        raise _mistake("schedule", expected, schedule)
    _check_combinations(params)


def _check_combinations(params: Mapping[str, Any]) -> None:
    loss = LOSSES[params["loss"]]
    if params["solver"] == "lbfgs" and loss.curvature is None:
        raise ConfigError(
            f"solver: 'lbfgs' needs a smooth loss, found loss={loss.name!r}; take solver='sgd', "
            "or loss='softmax_cross_entropy'"
        )
    if params["solver"] == "lbfgs" and params["patience"] is not None:
        raise ConfigError("patience: stops solver='sgd' early; 'lbfgs' ends at its tolerance")
    if params["label_smoothing"] > 0 and not loss.takes_soft_targets:
        raise ConfigError(f"label_smoothing: {loss.name} takes one-hot targets only")
    if params["nesterov"] and params["momentum"] == 0:
        raise ConfigError("nesterov: needs momentum > 0")
    lowest, rate = getattr(params["schedule"], "minimum", 0.0), params["learning_rate"]
    if not isinstance(rate, str) and lowest > rate:
        raise ConfigError(
            f"schedule: expected a minimum of at most learning_rate, {rate}, found {lowest}"
        )


def _in_range(name: str, value: float) -> bool:
    if not math.isfinite(value):
        return False
    if name in ("label_smoothing", "momentum"):
        return 0 <= value < 1
    if name == "tolerance":
        return 0 < value < 1
    return value > 0 if name == "learning_rate" else value >= 0


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)


def _is_one_of(value: object, others: Sequence[object]) -> bool:
    return any(value is other or (isinstance(value, str) and value == other) for other in others)


def _mistake(name: str, expected: str, found: object) -> ConfigError:
    return ConfigError(f"{name}: expected {expected}, found {found!r}")


def seed_of(random_state: Any) -> int:
    """Return a seed >= 0: an integer itself, or a number drawn from what ``random_state`` is."""
    if _is(random_state, Integral) and random_state >= 0:
        return int(random_state)
    from sklearn.utils import check_random_state

    return int(check_random_state(random_state).randint(_MAX_SEED))


def settings_of(
    params: Mapping[str, Any], seed: int, features: DTypeLike, class_weights: Sequence[float] | None
) -> Settings:
    """Return what is trained.

    Parameters
    ----------
    params
        Of the estimator, checked.
    seed
        Of the initial weights.
    features
        The number type of the features, for ``dtype="auto"``.
    class_weights
        A factor per class; None: 1.
    """
    dtype = params["dtype"]
    if dtype == "auto":
        dtype = "float64" if np.dtype(features) == np.float64 else "float32"
    threads = params["threads"]
    model = ModelSettings(
        loss=LOSSES[params["loss"]],
        l2=float(params["l2"]),
        label_smoothing=float(params["label_smoothing"]),
        seed=seed,
        initial_std=float(params["initial_std"]),
    )
    return Settings(
        models=(model,),
        dtype=cast(Literal["float32", "float64"], dtype),
        single_output=False,
        standardize=params["standardize"],
        class_weights=class_weights,
        engine=params["backend"],
        threads=None if threads == "auto" else int(threads),
    )


def solver_of(params: Mapping[str, Any], seed: int) -> Solver:
    """Return how `fit` trains."""
    if params["solver"] == "lbfgs":
        return FullBatchLbfgs(float(params["tolerance"]), params["select_by"])
    schedule = params["schedule"]
    schedule = _SCHEDULES[schedule] if isinstance(schedule, str) else schedule
    epochs = None if params["epochs"] == "auto" else int(params["epochs"])
    return _descent(params, seed, schedule, epochs)


def pass_of(params: Mapping[str, Any], seed: int, learning_rate: float | None) -> MiniBatchDescent:
    """Return how `partial_fit` trains: once over the examples, at a constant rate.

    ``learning_rate`` is that of the passes before, if there were any.
    """
    own = {**params, "patience": None, "keep": "last"}
    if learning_rate is not None:
        own["learning_rate"] = learning_rate
    return _descent(own, seed, Constant(), 1)


def _descent(
    params: Mapping[str, Any], seed: int, schedule: Schedule, epochs: int | None
) -> MiniBatchDescent:
    rate = params["learning_rate"]
    rule = Rule(
        learning_rate=None if isinstance(rate, str) else float(rate),
        schedule=schedule,
        momentum=float(params["momentum"]),
        nesterov=bool(params["nesterov"]),
    )
    return MiniBatchDescent(
        rules=(rule,),
        epochs=epochs,
        batch_size=int(params["batch_size"]),
        seed=seed,
        horizontal_flips=False,
        select_by=params["select_by"],
        keep=params["keep"],
        patience=params["patience"],
        train_figures=None,
    )
