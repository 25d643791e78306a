"""The training loop: mini-batch gradient descent, from one epoch to the next."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator
from backprop_cli.engine import DescentState, Engine, Targets, Task, blas_threads, choose
from backprop_cli.errors import ConfigError, DataError, DivergedError
from backprop_cli.evaluation.evaluate import Reading, evaluate
from backprop_cli.losses import Array
from backprop_cli.objective import Objective
from backprop_cli.plan import Batches, Plan
from backprop_cli.settings import Settings
from backprop_cli.solvers.defaults import resolved
from backprop_cli.solvers.divergence import (
    describe_divergence,
    max_losses,
    mean_square,
    refuse_far_example,
)
from backprop_cli.solvers.methods import MiniBatchDescent
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.solvers.selection import Kept, Selection
from backprop_cli.solvers.stack import Kit, Stack
from backprop_cli.solvers.start import initial_parameters, make_task
from backprop_cli.solvers.step_figures import StepFigures
from backprop_cli.solvers.steps import SeparateSteps
from backprop_cli.solvers.training import (
    Training,
    restore_arrays,
    restored_history,
    saved_history,
)
from backprop_cli.solvers.updates import new_state
from backprop_cli.sources import Dataset, Standardization


class Descent(Training):
    """Mini-batch gradient descent of M models; they share batch size, epochs and seed.

    Parameters
    ----------
    dataset, settings, standardization, communicator
        As for `Training`.
    solver
        How they are trained; a rule per model.

    Attributes
    ----------
    stack
        The models that are trained; those that have stopped have left it.
    plan
        The mini-batches.
    step, seconds
        Of the epoch that is not finished: steps and seconds.
    max_work_at_once, max_steps_at_once
        Between two looks at the outside, some 0.3 s with the kernels: floating-point operations,
        and steps.

    A model whose loss runs away leaves, like one that stops early, and the others go on.
    """

    max_work_at_once, max_steps_at_once = 4e10, 1000

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        solver: MiniBatchDescent,
        standardization: Standardization,
        communicator: Communicator,
    ) -> None:
        super().__init__(dataset, settings, solver.select_by, standardization, communicator)
        self._check(solver)
        self.solver: MiniBatchDescent = communicator.first(  # last digits could differ
            lambda: resolved(solver, settings, dataset, standardization)
        )
        self.n_epochs: int = self.solver.n_epochs
        self.plan = Plan(
            dataset.train, min(solver.batch_size, len(dataset.train)), solver.seed,
            solver.horizontal_flips, communicator.rank, communicator.size,
        )  # fmt: skip
        self.shuffle = None if self.plan.shuffle.is_full else self.plan.shuffle
        n_models = len(settings.models)
        self._new_state = functools.partial(
            new_state,
            momentum=np.array([rule.momentum for rule in self.solver.rules]),
            nesterov=np.array([rule.nesterov for rule in self.solver.rules]),
            l2=np.array([model.l2 for model in settings.models]),
        )
        self.stack = Stack(
            range(n_models),
            self._new_state(*initial_parameters(settings, dataset)),
            max_losses([model.loss for model in settings.models], dataset.n_classes),
            Kit(settings, self._make_task, lambda: self.engine_name, communicator),
        )
        self.expected_engine = self._choose(certain=False)
        step_work = 4.0 * self.plan.batch_size * self.state.W.size
        self._steps_at_once = min(
            self.max_steps_at_once, max(1, int(self.max_work_at_once / step_work))
        )
        patience = solver.patience and solver.patience * solver.evaluate_every
        self.selections = [Selection(solver.keep, patience) for _ in settings.models]
        self._counts = self.solver.train_figures == "steps"
        self._of_steps = StepFigures(n_models, len(dataset.train), self.plan.batch_size)
        self.step, self.seconds = 0, 0.0

    @functools.cached_property
    def engine_name(self) -> str:
        """What computes. It is loaded to be sure of it."""
        return self._choose(certain=True)

    @property
    def state(self) -> DescentState:
        """Weights, biases and velocities of all models; zero of those that have stopped."""
        own, n_models = self.stack.state, len(self.settings.models)
        if len(own.W) == n_models:
            return own
        zeros = (np.zeros((n_models, *array.shape[1:]), array.dtype) for array in (own.W, own.b))
        state = self._new_state(*zeros)
        for array, rows in zip(state.arrays().values(), own.arrays().values(), strict=True):
            if len(array):
                array[self.stack.models] = rows
        return state

    @property
    def engine(self) -> Engine:
        """What computes them; made when it is needed."""
        return self.stack.engine

    @property
    def targets(self) -> Targets:
        """What they are trained towards."""
        return self.stack.task.targets

    @property
    def objective(self) -> Objective:
        """What they minimize."""
        return self.stack.objective

    @property
    def separate_steps(self) -> SeparateSteps:
        """What makes their steps outside the engine."""
        return self.stack.separate_steps

    @property
    def steps(self) -> Callable[..., tuple[int, NDArray[np.float64]]]:
        """What makes their steps: the engine's own, or one after the other."""
        return self.stack.steps

    def _make_task(self, settings: Settings) -> Task:
        return make_task(
            settings, self.dataset, self.standardization,
            batch_size=self.plan.batch_size, threads=self.threads,
        )  # fmt: skip

    def _choose(self, *, certain: bool) -> str:
        task = self._make_task(self.settings)
        K = task.n_models * self.dataset.n_classes
        work = 4.0 * len(self.dataset.train) * self.dataset.n_features * K * self.n_epochs
        return choose(task, self.settings.engine, work, certain=certain)

    @property
    def steps_per_epoch(self) -> int:
        """How many mini-batches an epoch has."""
        return self.plan.steps_per_epoch

    @property
    def steps_made(self) -> int:
        """How many steps of the epoch that is not finished have been made."""
        return self.step

    @property
    def batch_size(self) -> int:
        """Examples per step."""
        return self.plan.batch_size

    def start_from(self, W: Array, b: Array) -> None:
        """Start from given parameters; see `Training.start_from`."""
        self.state.W[...], self.state.b[...] = W, b

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
        observer.begin(self.n_epochs, per_epoch, self.epochs_finished * per_epoch + self.step)
        if self.stack.models and not self.engine.prepare():
            observer.compiling()
            self.engine.wait()
        # Overflow is looked for in the loss itself, where it can be told with its step.
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with quiet, blas_threads(self.threads):
            while self.epochs_finished < self.n_epochs and self.stack.models:
                start = time.perf_counter() - self.seconds
                epoch = self.epochs_finished
                rates = self.solver.rates(epoch, per_epoch)
                last = self._run_epoch(rates, start, observer)
                if not self.stack.models:
                    return
                records = self._finish_epoch(last, rates[-1], start, observer)
                self.dataset.check_unchanged()
                for own, record in zip(self.history, records, strict=True):
                    own += [record] if record is not None else []
                self.epochs_finished, self.step, self.seconds = epoch + 1, 0, 0.0
                self._of_steps.clear()
                observer.epoch(records)

    def arrays(self) -> dict[str, Array]:
        """Return weights, velocities and what is kept; see `Training.arrays`."""
        state = self.state
        # Before an epoch's end there is nothing kept; the shapes are the same.
        kept = [
            selection.kept or Kept(0, state.W[m], state.b[m])
            for m, selection in enumerate(self.selections)
        ]
        return {
            **state.arrays(),
            "kept_W": np.stack([own.W for own in kept]),
            "kept_b": np.stack([own.b for own in kept]),
        }

    def progress(self) -> dict[str, Any]:
        """Return where it stands; see `Training.progress`."""
        return {
            "epochs_finished": self.epochs_finished,
            "step": self.step,
            "seconds": self.seconds,
            "of_steps": self._of_steps.state(),
            "diverged": self.diverged,
            "history": saved_history(self.history),
            "selections": [selection.state() for selection in self.selections],
        }

    def restore(self, arrays: Mapping[str, Array], progress: Mapping[str, Any]) -> None:
        """Go to the state that was saved; see `Training.restore`."""
        kept_W, kept_b = np.empty_like(self.state.W), np.empty_like(self.state.b)
        for m, selection in enumerate(self.selections):
            selection.restore(progress["selections"][m], kept_W[m], kept_b[m])
        restore_arrays({**self.state.arrays(), "kept_W": kept_W, "kept_b": kept_b}, arrays)
        self.stack = self.stack.without([m for m, own in enumerate(self.selections) if own.stopped])
        self.epochs_finished, self.step = progress["epochs_finished"], progress["step"]
        self.seconds = progress["seconds"]
        self._of_steps.restore(progress["of_steps"])
        self.diverged[:] = progress["diverged"]
        self.history = restored_history(progress["history"])

    def _check(self, solver: MiniBatchDescent) -> None:
        models, rules = len(self.settings.models), len(solver.rules)
        if models != rules or not models:
            raise ConfigError(f"expected a rule for each model, found {rules} for {models} models")
        if solver.horizontal_flips and self.dataset.image is None:
            raise DataError("training.horizontal_flips: expected images, found plain features")
        if solver.patience is not None and self.dataset.validation is None:
            raise DataError("training.early_stopping: expected validation examples, found none")

    def _run_epoch(self, rates: NDArray[np.float64], start: float, observer: Observer) -> Batches:
        """Make the steps that are left of an epoch; return its last mini-batch."""
        total = len(rates)
        parts = self.plan.parts(
            self.epochs_finished, min(self.step, total - 1), lambda: _look_outside(observer)
        )
        with contextlib.closing(parts):
            for first, batches in parts:
                end = first + len(batches)
                self._make_steps(batches, rates[first:end], first, start, observer)
                if not self.stack.models:
                    break
            return batches.some(len(batches) - 1, len(batches))

    def _make_steps(
        self,
        batches: Batches,
        rates: NDArray[np.float64],
        first: int,
        start: float,
        observer: Observer,
    ) -> None:
        """Make the steps that are left of some mini-batches; ``first`` is the epoch's first."""
        step = max(self.step - first, 0)
        while step < len(batches) and self.stack.models:
            end, stack = min(step + self._steps_at_once, len(batches)), self.stack
            own = np.ascontiguousarray(rates[step:end, stack.models], stack.state.W.dtype)
            some = batches.some(step, end)
            right = np.zeros(own.shape, np.int64) if self._counts else None
            made, losses = stack.steps(stack.state, some, own, stack.max_losses, right)
            if right is not None:
                self._of_steps.add(stack.models, first + step, losses[:made], right[:made])
            step += made
            self.step = first + step
            if step < end:
                place = f"step {first + step + 1} of epoch {self.epochs_finished + 1}"
                self._drop_diverged(losses[made], place, rates[step], some.some(made, made + 1))
            self.seconds = time.perf_counter() - start
            if made:
                rate = float(rates[step - 1, stack.models[0]])
                observer.steps(made, float(losses[made - 1, 0]), rate)

    def _drop_diverged(
        self, losses: NDArray[np.float64], place: str, rates: NDArray[np.float64], batch: Batches
    ) -> None:
        """Let the models of the stack whose loss ran away leave it.

        The message gives the gradient on ``batch``, a single mini-batch, and the model's rate.
        """
        self.dataset.check_unchanged()  # not the learning rate, if a file was written over
        stack, state = self.stack, self.stack.state
        sums = stack.separate_steps.sums(state, batch, 0)
        dW, _ = stack.objective.gradient(sums, state.W)
        squares = mean_square(batch.batch(0), self.standardization, self.communicator)
        for k in np.flatnonzero(~(losses <= stack.max_losses)):
            m = stack.models[k]
            told = describe_divergence(
                state.W[k], dW[k], squares, l2=float(state.l2[k]), learning_rate=float(rates[m]),
                steps_made=self.epochs_finished * self.steps_per_epoch + self.step,
            )  # fmt: skip
            self.diverged[m] = f"training diverged: the loss is {losses[k]:.4g} at {place}, {told}"
            self.selections[m].stopped = True
        if all(self.diverged):
            raise DivergedError(self.diverged[0])
        self._let_go()

    def _let_go(self) -> None:
        """Go on without the models that have stopped."""
        stopped = [m for m in self.stack.models if self.selections[m].stopped]
        if stopped:
            self.stack = self.stack.without(stopped)
            if self.stack.models and not self.engine.prepare():
                self.engine.wait()

    def _finish_epoch(
        self, last: Batches, rates: NDArray[np.float64], start: float, observer: Observer
    ) -> list[EpochRecord | None]:
        """Evaluate, keep the best weights, return the history's lines."""
        epoch, stack = self.epochs_finished + 1, self.stack
        place, W, b = f"the end of epoch {epoch}", stack.state.W, stack.state.b
        evaluates, penalty = self.solver.evaluates(epoch), stack.objective.penalty(W)
        waiting = functools.partial(_look_outside, observer)
        train = validation = None
        if evaluates and not self._counts:
            reading = Reading(self.dataset.train, self.communicator, waiting)
            train = evaluate(stack.engine, W, b, reading, self.targets)
            now = penalty + train.loss
        else:  # a look at the weights after the last step
            train = self._of_steps.figures(stack.models) if self._counts else None
            now = penalty + stack.objective.loss(stack.separate_steps.sums(stack.state, last, 0))
        if evaluates:
            validation = self.validation_figures(stack.engine, W, b, waiting)
        if validation is not None:
            wild = (now <= stack.max_losses) & ~(validation.loss <= stack.max_losses)
            if wild.any() and self.dataset.validation is not None:
                loss = float(validation.loss[wild][0])
                refuse_far_example(self.dataset.validation, self.standardization, loss, place)
            now = np.where(wild, validation.loss, now)
        if not (now <= stack.max_losses).all():
            self._drop_diverged(now, place, rates, last)
        seconds = time.perf_counter() - start
        records: list[EpochRecord | None] = [None] * len(self.selections)
        for k, m in enumerate(stack.models):
            selection = self.selections[m]
            if selection.stopped:
                continue
            records[m] = record = EpochRecord(
                epoch=epoch,
                seconds=seconds,
                learning_rate=float(rates[m]),
                train_loss=None if train is None else float(train.loss[k]),
                train_cost=None if train is None else float(train.loss[k] + penalty[k]),
                train_accuracy=None if train is None else float(train.accuracy[k]),
                **self.validation_part(validation, k),
                train_figures="steps" if self._counts else "evaluation",
            )
            standing = record.standing(self.select_by)
            selection.update(epoch, standing, W[k], b[k], evaluated=evaluates)
        self._let_go()
        return records


def _look_outside(observer: Observer) -> None:
    """Let an observer raise KeyboardInterrupt; no step was made."""
    observer.steps(0, math.nan, 0.0)
