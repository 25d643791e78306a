"""The training loop: mini-batch gradient descent of M models over the same mini-batches."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_cli.config import Config
from backprop_cli.datasets import (
    Dataset,
    Gatherer,
    Standardization,
    epoch_flips,
    epoch_order,
    fit_standardization,
)
from backprop_cli.engine import Array, BatchEngine
from backprop_cli.errors import DivergedError
from backprop_cli.objective import (
    Objective,
    check_against_data,
    initial_parameters,
    plain_objective,
    training_objective,
)
from backprop_cli.training.evaluation import Figures, evaluate, evaluation_batch
from backprop_cli.training.model_file import LinearModel
from backprop_cli.training.schedules import learning_rates
from backprop_cli.training.selection import Selection
from backprop_cli.training.updates import GradientDescent


class Observer:
    """What the loop tells of its progress; this one does not listen."""

    def begin(self, n_epochs: int, steps_per_epoch: int) -> None:
        """Hear of the run, once, before the first step."""

    def step(self, loss: float, learning_rate: float) -> None:
        """Hear of every step: the first model's mini-batch loss and rate."""

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        """Hear of every epoch: a record a model, None for one that had stopped before."""


@dataclass(frozen=True)
class EpochRecord:
    """One line of a run's history.

    ``loss`` is the data term L, ``cost`` is J = L + the l2 term. Training figures are those of
    the whole training split after the epoch, of the objective that is minimized (label smoothing
    and class weights included); validation figures are plain.
    """

    epoch: int
    seconds: float
    learning_rate: float
    train_loss: float
    train_cost: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None

    def to_mapping(self) -> dict[str, Any]:
        """Return the record as plain Python objects; what is not finite as None, for JSON."""
        return {
            key: value if value is None or math.isfinite(value) else None
            for key, value in self.__dict__.items()
        }


class Trainer:
    """Trains M models that share data, batch size, epochs, seed and number type.

    Parameters
    ----------
    dataset
        What to train on.
    configs
        One a model. They may differ in loss, label smoothing, l2, learning rate, momentum and
        schedule; everything else is taken from the first.

    Attributes
    ----------
    selections
        What is kept of each model.
    standardization
        Fitted to the training split.
    diverged
        For each model, what happened if its loss left the finite numbers: it is dropped then, and
        the others go on.
    """

    def __init__(self, dataset: Dataset, configs: Sequence[Config]) -> None:
        self.dataset, self.configs = dataset, configs
        self.training, model = configs[0].training, configs[0].model
        self.dtype = np.dtype(model.dtype)
        C, d = dataset.n_classes, dataset.n_features
        check_against_data(configs[0], dataset)
        self.standardization: Standardization = fit_standardization(
            dataset, configs[0].data.standardize
        )
        batch_size = min(self.training.batch_size, len(dataset.train))
        self._evaluation_batch = evaluation_batch(d, len(configs) * C, self.dtype.itemsize)
        W, b = initial_parameters(configs, C, d)
        self.engine = BatchEngine(
            W,
            b,
            losses=[config.loss for config in configs],
            l2=[config.l2 for config in configs],
            n_classes=C,
            batch_size=max(batch_size, self._evaluation_batch),
        )
        self.update = GradientDescent(
            self.engine,
            [config.training.momentum for config in configs],
            [config.training.nesterov for config in configs],
        )
        self.gather = Gatherer(
            self.standardization,
            self.dtype,
            max(batch_size, self._evaluation_batch),
            dataset.image_shape,
        )
        self.batch_size = batch_size
        self.steps_per_epoch = math.ceil(len(dataset.train) / batch_size)
        self.objective = training_objective(configs, dataset, self.dtype)
        self._plain = plain_objective(C, self.dtype)
        self._targets = self.objective.buffer(batch_size)
        stopping = self.training.early_stopping
        self.selections = [
            Selection(config.training.keep, stopping.patience if stopping else None)
            for config in configs
        ]
        self.diverged: list[str | None] = [None] * len(configs)
        self.epochs_finished = 0

    def run(self, observer: Observer) -> None:
        """Train to the end, or until every model has stopped early.

        Raises
        ------
        DivergedError
            No model is left. What was kept until then stays in ``selections``.
        """
        observer.begin(self.training.epochs, self.steps_per_epoch)
        # Overflow is looked for in the loss itself, where it can be told with its step.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            while self.epochs_finished < self.training.epochs:
                start = time.perf_counter()
                epoch = self.epochs_finished
                rates = self._epoch_rates(epoch)
                self._run_epoch(epoch, rates, observer)
                records = self._finish_epoch(epoch + 1, rates[-1], start)
                self.epochs_finished = epoch + 1
                observer.epoch(records)
                if all(selection.stopped for selection in self.selections):
                    return

    def model(self, selection: Selection, config: Config) -> LinearModel:
        """Return the model that one of the selections keeps now.

        Raises
        ------
        RuntimeError
            No epoch has finished.
        """
        if selection.kept is None:
            raise RuntimeError("no epoch has finished")
        return LinearModel(
            selection.kept.W,
            selection.kept.b,
            self.standardization,
            self.dataset.class_names,
            self.dataset.image_shape,
            config.loss,
        )

    def _epoch_rates(self, epoch: int) -> Array:
        """Return the learning rate of each step of an epoch and each model, steps x M."""
        steps = epoch * self.steps_per_epoch + np.arange(self.steps_per_epoch)
        rates = np.stack(
            [learning_rates(c.training, steps, self.steps_per_epoch) for c in self.configs], axis=1
        ).astype(self.dtype)
        rates[:, [selection.stopped for selection in self.selections]] = 0
        return rates

    def _run_epoch(self, epoch: int, rates: Array, observer: Observer) -> None:
        train, objective = self.dataset.train, self.objective
        order = epoch_order(train.rows, self.training.seed, epoch)
        flips = None
        if self.training.horizontal_flips:
            flips = epoch_flips(len(order), self.training.seed, epoch)
        for step in range(self.steps_per_epoch):
            batch = slice(step * self.batch_size, (step + 1) * self.batch_size)
            rows = order[batch]
            labels = train.labels[rows]
            x = self.gather(train.features, rows, None if flips is None else flips[batch])
            losses = self.engine.loss_gradient(
                x, objective.targets(labels, self._targets), objective.example_weights(labels)
            )
            if not np.isfinite(losses).all():
                self._drop_diverged(losses, f"step {step + 1} of epoch {epoch + 1}", rates[step:])
            self.update.step(rates[step])
            observer.step(float(losses[0]), float(rates[step, 0]))

    def _drop_diverged(self, losses: Array, when: str, rates: Array) -> None:
        """Set the models whose loss is not finite to zero, where they stay; ``rates`` too."""
        for m in np.flatnonzero(~np.isfinite(losses)):
            self.diverged[m] = (
                f"training diverged: the loss is {losses[m]} at {when}, "
                f"learning rate {float(rates[0, m]):g}; try a lower learning rate"
            )
            self.selections[m].stopped = True
            self.update.reset(int(m))
            rates[:, m] = 0
        if all(self.diverged):
            raise DivergedError(self.diverged[0])

    def _finish_epoch(self, epoch: int, rates: Array, start: float) -> list[EpochRecord | None]:
        """Evaluate, keep the best weights, return the history's lines; ``epoch`` from 1."""
        train = self._evaluate(self.dataset.train, self.objective)
        validation = None
        if self.dataset.validation is not None:
            validation = self._evaluate(self.dataset.validation, self._plain)
        costs = train.loss + self.engine.penalty()
        figures = costs if validation is None else costs + validation.loss
        if not np.isfinite(figures).all():
            self._drop_diverged(figures, f"the end of epoch {epoch}", rates[None].copy())
        seconds = time.perf_counter() - start
        records: list[EpochRecord | None] = []
        for m, selection in enumerate(self.selections):
            if selection.stopped:
                records.append(None)
                continue
            record = EpochRecord(
                epoch=epoch,
                seconds=seconds,
                learning_rate=float(rates[m]),
                train_loss=float(train.loss[m]),
                train_cost=float(costs[m]),
                train_accuracy=float(train.accuracy[m]),
                validation_loss=None if validation is None else float(validation.loss[m]),
                validation_accuracy=None if validation is None else float(validation.accuracy[m]),
            )
            if not selection.stopped:
                figure = record.validation_accuracy
                if self.training.select_by == "loss" and record.validation_loss is not None:
                    figure = -record.validation_loss
                selection.update(epoch, figure, self.engine.W[m], self.engine.b[m])
                if selection.stopped:
                    self.update.reset(m)  # what it was is kept; here it stays zero
            records.append(record)
        return records

    def _evaluate(self, split: Any, objective: Objective) -> Figures:
        return evaluate(self.engine, self.gather, split, objective, self._evaluation_batch)
