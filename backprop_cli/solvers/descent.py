"""The training loop: mini-batch gradient descent, from one epoch to the next."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator
from backprop_cli.engine import (
    ENGINES,
    FusedEngine,
    Targets,
    Task,
    blas_threads,
    choose,
    resolved_threads,
)
from backprop_cli.errors import ConfigError, DataError, DivergedError
from backprop_cli.evaluation.evaluate import Figures, evaluate
from backprop_cli.evaluation.measures import MEASURES, SELECTABLE, Measure, refuse_unsuited
from backprop_cli.model import LinearModel
from backprop_cli.objective import Objective
from backprop_cli.plan import Batches, Plan
from backprop_cli.settings import Settings
from backprop_cli.solvers.divergence import describe_divergence, farthest_example, max_losses
from backprop_cli.solvers.minibatch import MiniBatchDescent
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.solvers.selection import Kept, Selection
from backprop_cli.solvers.start import initial_parameters, training_targets
from backprop_cli.solvers.steps import SeparateSteps
from backprop_cli.solvers.updates import new_state
from backprop_cli.sources import Block, Dataset, Split, Standardization, to_planes

_FAR = 1e6  # mean square of standardized features: about 1 in the training split


class Descent:
    """M models that share data, batch size, epochs, seed and number type, while they are trained.

    Parameters
    ----------
    dataset
        What to train on; `check_against_data` has passed it.
    settings
        The models.
    solver
        How they are trained; a rule per model.
    standardization
        Of the training split.
    communicator
        The processes that train together.

    Attributes
    ----------
    engine, engine_name, threads
        What computes; nothing is `auto` any more.
    state
        Weights, biases and velocities.
    steps
        What makes the steps: the engine's own, or one after the other.
    targets, objective, plan
        What is minimized, and over which mini-batches.
    selections
        What is kept of each model.
    diverged
        For each model, what happened if its loss ran away: it is dropped then, and the others go
        on.
    history
        The records of each model's epochs.
    epochs_finished, step, seconds
        Where it stands: epochs, and of the epoch that is not finished, steps and seconds.
    max_work_at_once, max_steps_at_once
        Between two looks at the outside, some 0.1 s: floating-point operations, and steps.
    """

    max_work_at_once, max_steps_at_once = 5e9, 1000

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        solver: MiniBatchDescent,
        standardization: Standardization,
        communicator: Communicator,
    ) -> None:
        self.dataset, self.settings, self.solver = dataset, settings, solver
        self.standardization, self._communicator = standardization, communicator
        self._check()
        self.targets = training_targets(settings, dataset)
        self.plan = Plan(
            dataset.train, min(solver.batch_size, len(dataset.train)), solver.seed,
            solver.horizontal_flips, communicator.rank, communicator.size,
        )  # fmt: skip
        self.threads = resolved_threads(settings.threads)
        task = self._task()
        K = task.n_models * dataset.n_classes
        work = 4.0 * len(dataset.train) * dataset.n_features * K * solver.epochs
        self.engine_name = choose(task, settings.engine, work)
        self.engine = ENGINES[self.engine_name].make(task)
        self.state = new_state(
            *initial_parameters(settings, dataset),
            momentum=np.array([rule.momentum for rule in solver.rules]),
            nesterov=np.array([rule.nesterov for rule in solver.rules]),
            l2=np.array([model.l2 for model in settings.models]),
        )
        self.objective = Objective(self.state.l2)
        self.separate_steps = SeparateSteps(self.engine, self.objective, communicator)
        self.steps = self.separate_steps.steps
        if isinstance(self.engine, FusedEngine) and communicator.size == 1:
            self.steps = self.engine.steps
        own = solver.select_by in ("accuracy", "loss")  # which every evaluation has
        self._measure = None if own else MEASURES[solver.select_by]
        self._max_losses = max_losses(task.losses, dataset.n_classes)
        step_work = 4.0 * self.plan.batch_size * self.state.W.size
        self._steps_at_once = min(
            self.max_steps_at_once, max(1, int(self.max_work_at_once / step_work))
        )
        self.selections = [Selection(solver.keep, solver.patience) for _ in settings.models]
        self.diverged: list[str | None] = [None] * len(settings.models)
        self.epochs_finished, self.step, self.seconds = 0, 0, 0.0
        self.history: list[list[EpochRecord]] = [[] for _ in settings.models]

    def run(self, observer: Observer) -> None:
        """Train from where it stands to the end, or until every model has stopped early.

        Raises
        ------
        DivergedError
            No model is left. What was kept until then stays in ``selections``.
        DataError
            A file of the data was changed meanwhile, or the validation loss alone runs away.
        """
        per_epoch = self.plan.steps_per_epoch
        observer.begin(self.solver.epochs, per_epoch, self.epochs_finished * per_epoch + self.step)
        if not self.engine.prepare():
            observer.compiling()
            self.engine.wait()
        # Overflow is looked for in the loss itself, where it can be told with its step.
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with quiet, blas_threads(self.threads):
            while self.epochs_finished < self.solver.epochs:
                if all(selection.stopped for selection in self.selections):
                    return
                start = time.perf_counter() - self.seconds
                epoch = self.epochs_finished
                rates = self._rates(epoch)
                batches = self.plan.epoch(epoch)
                self._run_epoch(batches, rates, start, observer)
                records = self._finish_epoch(batches, rates[-1], start)
                self.dataset.check_unchanged()
                for own, record in zip(self.history, records, strict=True):
                    own += [record] if record is not None else []
                self.epochs_finished, self.step, self.seconds = epoch + 1, 0, 0.0
                observer.epoch(records)

    def kept(self, m: int) -> Kept:
        """Return what is kept of model m; before an epoch's end, what it started from."""
        kept = self.selections[m].kept
        if kept is None:
            W, b = initial_parameters(self.settings, self.dataset)
            kept = Kept(0, W[m], b[m])
        return kept

    def model(self, m: int) -> LinearModel:
        """Return model m with the weights that are kept of it."""
        return self.model_with(m, self.kept(m))

    def model_with(self, m: int, kept: Kept) -> LinearModel:
        """Return model m with given weights; its features are in channel planes."""
        image, found = self.dataset.image, self.standardization
        return LinearModel(
            to_planes(image, kept.W),
            kept.b,
            Standardization(to_planes(image, found.mean), to_planes(image, found.std)),
            self.dataset.class_names,
            self.dataset.image_shape,
            self.settings.models[m].loss.name,
        )

    def _check(self) -> None:
        models, rules = len(self.settings.models), len(self.solver.rules)
        if models != rules or not models:
            raise ConfigError(f"expected a rule for each model, found {rules} for {models} models")
        if self.solver.horizontal_flips and self.dataset.image is None:
            raise DataError("training.horizontal_flips: expected images, found plain features")
        if self.solver.patience is not None and self.dataset.validation is None:
            raise DataError("training.early_stopping: expected validation examples, found none")
        select_by = self.solver.select_by
        if select_by not in SELECTABLE:
            expected = f"{', '.join(SELECTABLE[:-1])} or {SELECTABLE[-1]}"
            raise ConfigError(f"training.select_by: expected {expected}, found {select_by!r}")
        if self.dataset.validation is not None:
            labels = self.dataset.validation.own_labels()
            refuse_unsuited(select_by, labels, self.dataset.n_classes)

    def _task(self) -> Task:
        dataset, settings = self.dataset, self.settings
        validation = [] if dataset.validation is None else [dataset.validation]
        return Task(
            losses=tuple(model.loss for model in settings.models),
            targets=self.targets,
            n_outputs=1 if settings.single_output else dataset.n_classes,
            standardization=self.standardization,
            splits=(dataset.train, *validation),
            dtype=np.dtype(settings.dtype),
            batch_size=self.plan.batch_size,
            threads=self.threads,
        )

    def _rates(self, epoch: int) -> NDArray[np.float64]:
        """Return the learning rates of an epoch, steps x M; those of stopped models are 0."""
        rates = self.solver.rates(epoch, self.plan.steps_per_epoch)
        rates[:, [selection.stopped for selection in self.selections]] = 0
        return rates

    def _run_epoch(
        self, batches: Batches, rates: NDArray[np.float64], start: float, observer: Observer
    ) -> None:
        while self.step < len(batches):
            step = self.step
            end = min(step + self._steps_at_once, len(batches))
            own = rates[step:end].astype(self.state.W.dtype)
            made, losses = self.steps(self.state, batches.some(step, end), own, self._max_losses)
            step += made
            if step < end:
                place = f"step {step + 1} of epoch {self.epochs_finished + 1}"
                self._drop_diverged(losses[made], place, rates[step:], batches, step)
            self.step, self.seconds = step, time.perf_counter() - start
            if made:
                observer.steps(made, float(losses[made - 1, 0]), float(rates[step - 1, 0]))

    def _drop_diverged(
        self,
        losses: NDArray[np.float64],
        place: str,
        rates: NDArray[np.float64],
        batches: Batches,
        k: int,
    ) -> None:
        """Set the models whose loss ran away to zero, where they stay; ``rates`` too.

        The message gives the gradient on mini-batch k.
        """
        self.dataset.check_unchanged()  # not the learning rate, if a file was written over
        state = self.state
        sums = self.separate_steps.sums(state, batches, k)
        dW, _ = self.objective.gradient(sums, state.W)
        squares = self._mean_square(batches.batch(k))
        for m in np.flatnonzero(~(losses <= self._max_losses)):
            told = describe_divergence(
                state.W[m], dW[m], squares, l2=float(state.l2[m]),
                learning_rate=float(rates[0, m]),
                steps_made=self.epochs_finished * len(batches) + k,
            )  # fmt: skip
            self.diverged[m] = f"training diverged: the loss is {losses[m]:.4g} at {place}, {told}"
            self.selections[m].stopped = True
            state.reset(int(m))
            rates[:, m] = 0
        if all(self.diverged):
            raise DivergedError(self.diverged[0])

    def _mean_square(self, block: Block) -> float:
        """Return the mean of |x|^2 over the standardized examples of all processes."""
        x = block.features[block.rows].astype(np.float64)
        x = (x - self.standardization.mean) / self.standardization.std
        own = np.array([np.einsum("ij,ij->", x, x), len(x)])
        squares, n = self._communicator.sum(own)
        return float(squares / n)

    def _finish_epoch(
        self, batches: Batches, rates: NDArray[np.float64], start: float
    ) -> list[EpochRecord | None]:
        """Evaluate, keep the best weights, return the history's lines."""
        epoch, state = self.epochs_finished + 1, self.state
        train = self._evaluate(self.dataset.train, self.targets)
        validation = None
        if self.dataset.validation is not None:
            plain = Targets.plain(self.dataset.n_classes, state.W.dtype)
            validation = self._evaluate(self.dataset.validation, plain, self._measure)
        costs = train.loss + self.objective.penalty(state.W)
        if not (costs <= self._max_losses).all():
            place, last = f"the end of epoch {epoch}", len(batches) - 1
            self._drop_diverged(costs, place, rates[None].copy(), batches, last)
        if validation is not None and not (validation.loss <= self._max_losses).all():
            place, last = f"the end of epoch {epoch}", len(batches) - 1
            self._check_validation(validation, place)
            self._drop_diverged(validation.loss, place, rates[None].copy(), batches, last)
        seconds = time.perf_counter() - start
        measured = None if validation is None else validation.measured
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
                validation_measures=(
                    {} if measured is None else {self.solver.select_by: float(measured[m])}
                ),
            )
            standing = record.standing(self.solver.select_by)
            selection.update(epoch, standing, state.W[m], state.b[m])
            if selection.stopped:
                state.reset(m)  # what it was is kept; here it stays zero
            records.append(record)
        return records

    def _check_validation(self, validation: Figures, place: str) -> None:
        """Refuse a validation example far from the training split, if its loss runs away."""
        wild = ~(validation.loss <= self._max_losses)
        wild &= [not selection.stopped for selection in self.selections]
        split = self.dataset.validation
        if not wild.any() or split is None:
            return
        m = int(np.flatnonzero(wild)[0])
        row, square = farthest_example(split, self.standardization)
        if square < _FAR:
            return
        raise DataError(
            f"{split.source.name}: the validation loss is {validation.loss[m]:.4g} at {place}, far "
            f"above the training loss: example {row} is far from the training split (mean square "
            f"of its standardized features: {square:.4g}); remove it, or scale the features"
        )

    def _evaluate(self, split: Split, targets: Targets, measure: Measure | None = None) -> Figures:
        return evaluate(self.engine, self.state.W, self.state.b, split, targets, measure)
