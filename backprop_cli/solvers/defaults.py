"""What a solver leaves to the data: its learning rate, and how many epochs are enough."""

from __future__ import annotations

import dataclasses

import numpy as np

from backprop_cli.engine import blas_threads
from backprop_cli.errors import ConfigError
from backprop_cli.losses import Vector
from backprop_cli.settings import Settings
from backprop_cli.solvers.methods import MiniBatchDescent, Rule
from backprop_cli.solvers.observer import TrainFigures
from backprop_cli.solvers.schedules import Cosine, Cyclical
from backprop_cli.solvers.second_moment import SecondMoment
from backprop_cli.solvers.start import training_targets
from backprop_cli.sources import Dataset, Standardization

_MIN_EPOCHS, _MAX_EPOCHS = 30, 1000
_MIN_STEPS = 5000
_MAX_EVALUATION = 1e9  # floating-point operations, some 10 ms per epoch


def resolved(
    solver: MiniBatchDescent,
    settings: Settings,
    dataset: Dataset,
    standardization: Standardization,
) -> MiniBatchDescent:
    """Return the solver with every number that was left open.

    Raises
    ------
    ConfigError
        A schedule would have to rise to the rate that was derived.
    """
    epochs = solver.epochs or _epochs(len(dataset.train), solver.batch_size)
    figures = solver.train_figures or _train_figures(dataset)
    solver = dataclasses.replace(solver, epochs=epochs, train_figures=figures)
    if all(rule.learning_rate is not None for rule in solver.rules):
        return solver
    given = training_targets(settings, dataset).example_weights(dataset.train.without_features())
    v: Vector | None = None if given is None else given.astype(np.float64)
    mean_v, ratio = (1.0, 1.0) if v is None else _mean_and_ratio(v)
    n = len(dataset.train)
    whole = solver.batch_size >= n  # every step takes all examples: there is no noise
    counts = v if whole and mean_v > 0 else None
    with blas_threads(1):  # two are ten times slower at matrices of a few columns
        moment = SecondMoment(dataset.train, standardization, solver.seed, 1, counts)
    # + 1: the bias is a feature that is 1.
    squares = moment.trace + float(moment.mean @ moment.mean) + 1
    largest = float(moment.e[-1]) + float(moment.mean @ moment.mean) + 1
    noise = 0.0 if whole else ratio * squares / solver.batch_size
    of_data = mean_v * largest + noise
    rules = []
    for rule, model in zip(solver.rules, settings.models, strict=True):
        if rule.learning_rate is None:
            bound = model.loss.curvature_bound(dataset.n_classes)
            curvature = bound * of_data + 2 * model.l2
            rule = _with_rate(rule, 1 / curvature if curvature > 0 else 1.0)
        rules.append(rule)
    return dataclasses.replace(solver, rules=tuple(rules))


def _mean_and_ratio(v: Vector) -> tuple[float, float]:
    """Return the mean of v, and the mean of v^2 over it, which does not overflow."""
    mean = float(v.mean())
    return mean, float((v * (v / mean)).mean()) if mean > 0 else 0.0


def _epochs(n: int, batch_size: int) -> int:
    """Return how many epochs are enough: more where an epoch has few steps."""
    steps = -(-n // batch_size)
    return min(max(_MIN_EPOCHS, -(-_MIN_STEPS // steps)), _MAX_EPOCHS)


def _train_figures(dataset: Dataset) -> TrainFigures:
    """Return where training figures come from: from a pass of their own only where it is short.

    Such a pass has half of the products of an epoch's steps, of a single model.
    """
    work = 2.0 * len(dataset.train) * dataset.n_features * dataset.n_classes
    return "evaluation" if work <= _MAX_EVALUATION else "steps"


def _with_rate(rule: Rule, rate: float) -> Rule:
    rate = float(f"{rate:.3g}")  # so that it can be read and typed again
    schedule = rule.schedule
    if isinstance(schedule, Cosine | Cyclical) and schedule.minimum > rate:
        raise ConfigError(
            f"training.schedule.minimum: expected at most training.learning_rate, which is {rate} "
            f"for this data, found {schedule.minimum}"
        )
    return dataclasses.replace(rule, learning_rate=rate)
