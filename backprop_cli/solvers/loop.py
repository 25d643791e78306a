"""The training loop: mini-batch gradient descent of M models over the same mini-batches."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config
from backprop_cli.engine import BatchEngine
from backprop_cli.errors import DivergedError
from backprop_cli.evaluation.evaluate import Figures, evaluate, evaluation_batch
from backprop_cli.objective import (
    Objective,
    check_against_data,
    initial_parameters,
    plain_objective,
    training_objective,
)
from backprop_cli.runs.model_file import LinearModel
from backprop_cli.solvers.compute import blas_threads, resolve_compute
from backprop_cli.solvers.divergence import describe_divergence, largest_losses
from backprop_cli.solvers.schedules import learning_rates
from backprop_cli.solvers.selection import Kept, Selection
from backprop_cli.solvers.steps import NumpySteps, Steps, folded_standardization
from backprop_cli.solvers.updates import GradientDescent
from backprop_cli.sources import (
    Dataset,
    Gatherer,
    Standardization,
    epoch_flips,
    epoch_order,
    fit_standardization,
)

# Between two looks at the outside, some 0.1 s: floating-point operations, and steps.
_WORK_AT_ONCE, _STEPS_AT_ONCE = 5e9, 1000
_EVALUATED_AT_ONCE = 8192  # examples, by the kernels, which take them in parts of their own


class Observer:
    """What the loop tells of its progress; this one does not listen."""

    def begin(self, n_epochs: int, steps_per_epoch: int, steps_made: int) -> None:
        """Hear of the run, once, before the first step; some may have been made before."""

    def compiling(self) -> None:
        """Hear that kernels are being compiled, which takes seconds and happens once a machine."""

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        """Hear of a few more steps: the first model's mini-batch loss and rate in the last one."""

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

    def figure(self, select_by: str) -> float | None:
        """Return what validation says, by loss or by accuracy: larger is better."""
        if select_by == "loss":
            return None if self.validation_loss is None else -self.validation_loss
        return self.validation_accuracy

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
    standardization
        Of the training split; fitted when not given.

    Attributes
    ----------
    selections
        What is kept of each model.
    standardization
        Fitted to the training split.
    compute
        What it runs on; nothing is `auto` any more.
    epochs_finished, step, seconds
        Where it stands: epochs, and of the epoch that is not finished, steps and seconds.
    history
        The records of each model's epochs.
    diverged
        For each model, what happened if its loss ran away: it is dropped then, and the others go
        on.
    """

    def __init__(
        self,
        dataset: Dataset,
        configs: Sequence[Config],
        standardization: Standardization | None = None,
    ) -> None:
        self.dataset, self.configs = dataset, configs
        self.training, model = configs[0].training, configs[0].model
        self.dtype = np.dtype(model.dtype)
        C, d = dataset.n_classes, dataset.n_features
        check_against_data(configs[0], dataset)
        self.standardization = standardization or fit_standardization(
            dataset, configs[0].data.standardize
        )
        self.compute = resolve_compute(configs[0], dataset, self.standardization, len(configs))
        self.batch_size = min(self.training.batch_size, len(dataset.train))
        self.steps_per_epoch = math.ceil(len(dataset.train) / self.batch_size)
        self._evaluation_batch = _EVALUATED_AT_ONCE
        if self.compute.backend == "numpy":
            self._evaluation_batch = evaluation_batch(d, len(configs) * C, self.dtype.itemsize)
        self.objective = training_objective(configs, dataset, self.dtype)
        self._plain = plain_objective(C, self.dtype)
        self._steps = self._make_steps()
        self.engine, self.update = self._steps.engine, self._steps.update
        self._largest = largest_losses(self.engine.losses, C)
        step_work = 4.0 * self.batch_size * self.engine.W.size
        self._steps_at_once = min(_STEPS_AT_ONCE, max(1, int(_WORK_AT_ONCE / step_work)))
        stopping = self.training.early_stopping
        self.selections = [
            Selection(config.training.keep, stopping.patience if stopping else None)
            for config in configs
        ]
        self.diverged: list[str | None] = [None] * len(configs)
        self.epochs_finished, self.step, self.seconds = 0, 0, 0.0
        self.history: list[list[EpochRecord]] = [[] for _ in configs]

    def run(self, observer: Observer) -> None:
        """Train from where it stands to the end, or until every model has stopped early.

        Raises
        ------
        DivergedError
            No model is left. What was kept until then stays in ``selections``.
        """
        steps_made = self.epochs_finished * self.steps_per_epoch + self.step
        observer.begin(self.training.epochs, self.steps_per_epoch, steps_made)
        self._steps.prepare(observer.compiling)
        # Overflow is looked for in the loss itself, where it can be told with its step.
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with quiet, blas_threads(int(self.compute.threads)):
            while self.epochs_finished < self.training.epochs:
                if all(selection.stopped for selection in self.selections):
                    return
                start = time.perf_counter() - self.seconds
                epoch = self.epochs_finished
                rates = self._epoch_rates(epoch)
                self._run_epoch(epoch, rates, start, observer)
                records = self._finish_epoch(epoch + 1, rates[-1], start)
                for own, record in zip(self.history, records, strict=True):
                    own += [record] if record is not None else []
                self.epochs_finished, self.step, self.seconds = epoch + 1, 0, 0.0
                observer.epoch(records)

    def model(self, m: int) -> LinearModel:
        """Return model m with the weights that are kept of it; before an epoch's end, the first."""
        config, kept = self.configs[m], self.selections[m].kept
        if kept is None:
            dataset = self.dataset
            W, b = initial_parameters([config], dataset.n_classes, dataset.n_features)
            kept = Kept(0, W[0], b[0])
        return LinearModel(
            kept.W,
            kept.b,
            self.standardization,
            self.dataset.class_names,
            self.dataset.image_shape,
            config.loss,
        )

    def _epoch_rates(self, epoch: int) -> NDArray[np.float64]:
        """Return the learning rate of each step of an epoch and each model, steps x M."""
        steps = epoch * self.steps_per_epoch + np.arange(self.steps_per_epoch)
        rates = np.stack(
            [learning_rates(c.training, steps, self.steps_per_epoch) for c in self.configs], axis=1
        )
        rates[:, [selection.stopped for selection in self.selections]] = 0
        return rates

    def _make_steps(self) -> Steps:
        """Return the steps of all models, at their initial weights."""
        dataset, configs, compiled = self.dataset, self.configs, self.compute.backend == "compiled"
        W, b = initial_parameters(configs, dataset.n_classes, dataset.n_features)
        most_rows = self.batch_size
        if not compiled:
            most_rows = max(self.batch_size, self._evaluation_batch)
        folding = None
        if not compiled:
            n_rows, features = len(W) * W.shape[1], dataset.train.features
            folding = folded_standardization(self.standardization, n_rows, features, self.dtype)
        engine = BatchEngine(
            W,
            b,
            losses=[config.loss for config in configs],
            l2=[config.l2 for config in configs],
            n_classes=dataset.n_classes,
            batch_size=most_rows,
            folded=None if folding is None else (folding.mean, folding.scale),
        )
        update = GradientDescent(
            engine,
            [config.training.momentum for config in configs],
            [config.training.nesterov for config in configs],
        )
        common = (engine, update, dataset.train, self.standardization, self.objective)
        if compiled:
            from backprop_cli.solvers.compiled_steps import CompiledSteps

            threads = int(self.compute.threads)
            return CompiledSteps(
                *common, self.batch_size, dataset.image_shape, threads, dataset.validation
            )
        return NumpySteps(*common, self.batch_size, most_rows, dataset.image_shape, folding)

    def _run_epoch(
        self, epoch: int, rates: NDArray[np.float64], start: float, observer: Observer
    ) -> None:
        order = epoch_order(self.dataset.train.rows, self.training.seed, epoch)
        mirrored = None
        if self.training.horizontal_flips:
            mirrored = epoch_flips(len(order), self.training.seed, epoch)
        while self.step < self.steps_per_epoch:
            step = self.step
            end = min(step + self._steps_at_once, self.steps_per_epoch)
            batches = slice(step * self.batch_size, end * self.batch_size)
            flags = None if mirrored is None else mirrored[batches]
            own = rates[step:end].astype(self.dtype)
            made, losses = self._steps.train(order[batches], flags, own, self._largest)
            step += made
            if step < end:
                batch = slice(step * self.batch_size, (step + 1) * self.batch_size)
                flags = None if mirrored is None else mirrored[batch]
                place = f"step {step + 1} of epoch {epoch + 1}"
                self._drop_diverged(losses[made], place, rates[step:], order[batch], flags)
            self.step, self.seconds = step, time.perf_counter() - start
            if made:
                observer.steps(made, float(losses[made - 1, 0]), float(rates[step - 1, 0]))

    def _drop_diverged(
        self,
        losses: NDArray[np.float64],
        place: str,
        rates: NDArray[np.float64],
        rows: NDArray[np.intp],
        mirrored: NDArray[np.bool_] | None = None,
    ) -> None:
        """Set the models whose loss ran away to zero, where they stay; ``rates`` too.

        ``rows`` are examples of which the gradient is told.
        """
        train = self.dataset.train
        gather = Gatherer(self.standardization, self.dtype, len(rows), self.dataset.image_shape)
        x, labels = gather(train.features, rows, mirrored), train.labels[rows]
        Y = self.objective.targets(labels, self.objective.buffer(len(rows)))
        weights = self.objective.example_weights(labels)
        for m in np.flatnonzero(~(losses <= self._largest)):
            rate = float(rates[0, m])
            told = describe_divergence(
                self.engine, int(m), x, Y[m if len(Y) > 1 else 0], weights, rate
            )
            self.diverged[m] = f"training diverged: the loss is {losses[m]:.4g} at {place}, {told}"
            self.selections[m].stopped = True
            self.update.reset(int(m))
            rates[:, m] = 0
        if all(self.diverged):
            raise DivergedError(self.diverged[0])

    def _finish_epoch(
        self, epoch: int, rates: NDArray[np.float64], start: float
    ) -> list[EpochRecord | None]:
        """Evaluate, keep the best weights, return the history's lines; ``epoch`` from 1."""
        train = self._evaluate(self.dataset.train, self.objective)
        validation = None
        if self.dataset.validation is not None:
            validation = self._evaluate(self.dataset.validation, self._plain)
        costs = train.loss + self.engine.penalty()
        figures = costs if validation is None else costs + validation.loss
        if not (figures <= self._largest).all():
            last = epoch_order(self.dataset.train.rows, self.training.seed, epoch - 1)
            self._drop_diverged(
                figures, f"the end of epoch {epoch}", rates[None].copy(), last[-self.batch_size :]
            )
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
            figure = record.figure(self.training.select_by)
            selection.update(epoch, figure, self.engine.W[m], self.engine.b[m])
            if selection.stopped:
                self.update.reset(m)  # what it was is kept; here it stays zero
            records.append(record)
        return records

    def _evaluate(self, split: Any, objective: Objective) -> Figures:
        return evaluate(
            self._steps.outcomes, split, objective, len(self.configs), self._evaluation_batch
        )
