"""A checked config to what training takes."""

from __future__ import annotations

from collections.abc import Sequence

from backprop_cli.config.data import NpyData
from backprop_cli.config.schema import (
    Config,
    ConstantSchedule,
    CosineSchedule,
    CyclicalSchedule,
    StepSchedule,
)
from backprop_cli.losses import LOSSES
from backprop_cli.settings import ModelSettings, Settings
from backprop_cli.solvers.methods import FullBatchLbfgs, MiniBatchDescent, Rule, Solver
from backprop_cli.solvers.schedules import Constant, Cosine, Cyclical, Schedule, StepDecay


def settings_of(configs: Sequence[Config]) -> Settings:
    """Return the models of some configs, which share everything but what a sweep may vary."""
    first = configs[0]
    return Settings(
        models=tuple(
            ModelSettings(
                loss=LOSSES[config.loss],
                l2=config.l2,
                label_smoothing=config.label_smoothing,
                seed=config.training.seed,
                initial_std=config.model.initial_std,
            )
            for config in configs
        ),
        dtype=first.model.dtype,
        single_output=first.model.outputs == 1,
        standardize=first.data.standardize,
        class_weights=first.training.class_weights,
        engine=first.compute.backend,
        threads=None if first.compute.threads == "auto" else int(first.compute.threads),
    )


def solver_of(configs: Sequence[Config]) -> Solver:
    """Return how the models of some configs are trained."""
    training = configs[0].training
    if training.solver == "lbfgs":
        return FullBatchLbfgs(training.tolerance, training.select_by)
    return descent_of(configs)


def descent_of(configs: Sequence[Config]) -> MiniBatchDescent:
    """Return the mini-batch descent of some configs, whatever their solver is."""
    training = configs[0].training
    return MiniBatchDescent(
        rules=tuple(_rule(config) for config in configs),
        epochs=None if training.epochs == "auto" else int(training.epochs),
        batch_size=training.batch_size,
        seed=training.seed,
        horizontal_flips=training.horizontal_flips,
        select_by=training.select_by,
        keep=training.keep,
        patience=None if training.early_stopping is None else training.early_stopping.patience,
        evaluate_every=training.evaluate_every,
        train_figures=None if training.train_figures == "auto" else training.train_figures,
    )


def _rule(config: Config) -> Rule:
    training = config.training
    rate = None if training.learning_rate == "auto" else float(training.learning_rate)
    return Rule(rate, _schedule(config), training.momentum, training.nesterov)


def _schedule(config: Config) -> Schedule:
    section = config.training.schedule
    if isinstance(section, ConstantSchedule):
        return Constant()
    if isinstance(section, StepSchedule):
        return StepDecay(section.every, section.factor)
    if isinstance(section, CosineSchedule):
        return Cosine(section.minimum)
    if isinstance(section, CyclicalSchedule):
        return Cyclical(section.minimum, section.half_cycle)
    raise TypeError(f"no such schedule: {type(section).__name__}")


def with_memory(config: Config, memory: int | None) -> Config:
    """Return the config with the memory that `auto` became; None: all features are in memory."""
    if not isinstance(config.data, NpyData) or config.data.memory != "auto":
        return config
    data = config.data.model_copy(update={"memory": "all" if memory is None else memory})
    return config.model_copy(update={"data": data})


def with_solver(config: Config, solver: Solver, m: int) -> Config:
    """Return the config of model m with what `auto` became in its solver."""
    if isinstance(solver, FullBatchLbfgs):
        return config
    update = {
        "epochs": solver.epochs,
        "learning_rate": solver.rules[m].learning_rate,
        "train_figures": solver.train_figures,
    }
    return config.model_copy(update={"training": config.training.model_copy(update=update)})
