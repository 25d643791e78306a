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
from backprop_cli.engine import ENGINES, DescentState, Engine, FusedEngine, blas_threads, choose
from backprop_cli.errors import ConfigError, DataError, DivergedError
from backprop_cli.evaluation.evaluate import Figures, evaluate
from backprop_cli.losses import Array
from backprop_cli.objective import Objective
from backprop_cli.plan import Batches, Plan
from backprop_cli.settings import Settings
from backprop_cli.solvers.defaults import resolved
from backprop_cli.solvers.divergence import describe_divergence, farthest_example, max_losses
from backprop_cli.solvers.methods import MiniBatchDescent
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.solvers.selection import Kept, Selection
from backprop_cli.solvers.start import initial_parameters, make_task, training_targets
from backprop_cli.solvers.steps import SeparateSteps
from backprop_cli.solvers.training import (
    Training,
    restore_arrays,
    restored_history,
    saved_history,
)
from backprop_cli.solvers.updates import new_state
from backprop_cli.sources import Block, Dataset, Standardization

_FAR = 1e6  # mean square of standardized features: about 1 in the training split


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
    state
        Weights, biases and velocities.
    targets, objective, plan
        What is minimized, and over which mini-batches.
    step, seconds
        Of the epoch that is not finished: steps and seconds.
    max_work_at_once, max_steps_at_once
        Between two looks at the outside, some 0.1 s: floating-point operations, and steps.

    A model whose loss runs away is dropped, and the others go on.
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
        super().__init__(dataset, settings, solver.select_by, standardization, communicator)
        self._check(solver)
        self.solver: MiniBatchDescent = resolved(solver, settings, dataset, standardization)
        self.n_epochs: int = self.solver.n_epochs
        self.targets = training_targets(settings, dataset)
        self.plan = Plan(
            dataset.train, min(solver.batch_size, len(dataset.train)), solver.seed,
            solver.horizontal_flips, communicator.rank, communicator.size,
        )  # fmt: skip
        self.shuffle = None if self.plan.shuffle.is_full else self.plan.shuffle
        self._task = make_task(
            settings, dataset, standardization,
            batch_size=self.plan.batch_size, threads=self.threads,
        )  # fmt: skip
        self.expected_engine = self._choose(certain=False)
        self.state = new_state(
            *initial_parameters(settings, dataset),
            momentum=np.array([rule.momentum for rule in self.solver.rules]),
            nesterov=np.array([rule.nesterov for rule in self.solver.rules]),
            l2=np.array([model.l2 for model in settings.models]),
        )
        self.objective = Objective(self.state.l2)
        self._max_losses = max_losses(self._task.losses, dataset.n_classes)
        step_work = 4.0 * self.plan.batch_size * self.state.W.size
        self._steps_at_once = min(
            self.max_steps_at_once, max(1, int(self.max_work_at_once / step_work))
        )
        self.selections = [Selection(solver.keep, solver.patience) for _ in settings.models]
        self.step, self.seconds = 0, 0.0

    @functools.cached_property
    def engine_name(self) -> str:
        """What computes. It is loaded to be sure of it."""
        return self._choose(certain=True)

    @functools.cached_property
    def engine(self) -> Engine:
        """What computes; made when it is needed."""
        return ENGINES[self.engine_name].make(self._task)

    @functools.cached_property
    def separate_steps(self) -> SeparateSteps:
        """What makes steps outside the engine."""
        return SeparateSteps(self.engine, self.objective, self.communicator)

    @functools.cached_property
    def steps(self) -> Callable[..., tuple[int, NDArray[np.float64]]]:
        """What makes the steps: the engine's own, or one after the other."""
        if isinstance(self.engine, FusedEngine) and self.communicator.size == 1:
            return self.engine.steps
        return self.separate_steps.steps

    def _choose(self, *, certain: bool) -> str:
        task = self._task
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
        if not self.engine.prepare():
            observer.compiling()
            self.engine.wait()
        # Overflow is looked for in the loss itself, where it can be told with its step.
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with quiet, blas_threads(self.threads):
            while self.epochs_finished < self.n_epochs:
                if all(selection.stopped for selection in self.selections):
                    return
                start = time.perf_counter() - self.seconds
                epoch = self.epochs_finished
                rates = self._rates(epoch)
                last = self._run_epoch(rates, start, observer)
                records = self._finish_epoch(last, rates[-1], start, observer)
                self.dataset.check_unchanged()
                for own, record in zip(self.history, records, strict=True):
                    own += [record] if record is not None else []
                self.epochs_finished, self.step, self.seconds = epoch + 1, 0, 0.0
                observer.epoch(records)

    def arrays(self) -> dict[str, Array]:
        """Return weights, velocities and what is kept; see `Training.arrays`."""
        # Before an epoch has ended there is nothing kept; the shapes are the same.
        kept = [
            selection.kept or Kept(0, self.state.W[m], self.state.b[m])
            for m, selection in enumerate(self.selections)
        ]
        return {
            **_arrays(self.state),
            "kept_W": np.stack([own.W for own in kept]),
            "kept_b": np.stack([own.b for own in kept]),
        }

    def progress(self) -> dict[str, Any]:
        """Return where it stands; see `Training.progress`."""
        return {
            "epochs_finished": self.epochs_finished,
            "step": self.step,
            "seconds": self.seconds,
            "diverged": self.diverged,
            "history": saved_history(self.history),
            "selections": [
                {
                    "kept_epoch": selection.kept.epoch if selection.kept else None,
                    "best_epoch": selection.best_epoch,
                    "best": selection.best,
                    "stopped": selection.stopped,
                }
                for selection in self.selections
            ],
        }

    def restore(self, arrays: Mapping[str, Array], progress: Mapping[str, Any]) -> None:
        """Go to the state that was saved; see `Training.restore`."""
        kept_W, kept_b = np.empty_like(self.state.W), np.empty_like(self.state.b)
        restore_arrays({**_arrays(self.state), "kept_W": kept_W, "kept_b": kept_b}, arrays)
        self.epochs_finished, self.step = progress["epochs_finished"], progress["step"]
        self.seconds = progress["seconds"]
        self.diverged[:] = progress["diverged"]
        self.history = restored_history(progress["history"])
        selections = zip(self.selections, progress["selections"], strict=True)
        for m, (selection, saved) in enumerate(selections):
            if saved["kept_epoch"] is not None:
                selection.kept = Kept(saved["kept_epoch"], kept_W[m], kept_b[m])
            selection.best_epoch, selection.stopped = saved["best_epoch"], saved["stopped"]
            best = saved["best"]
            selection.best = None if best is None else (float(best[0]), float(best[1]))

    def _check(self, solver: MiniBatchDescent) -> None:
        models, rules = len(self.settings.models), len(solver.rules)
        if models != rules or not models:
            raise ConfigError(f"expected a rule for each model, found {rules} for {models} models")
        if solver.horizontal_flips and self.dataset.image is None:
            raise DataError("training.horizontal_flips: expected images, found plain features")
        if solver.patience is not None and self.dataset.validation is None:
            raise DataError("training.early_stopping: expected validation examples, found none")

    def _rates(self, epoch: int) -> NDArray[np.float64]:
        """Return the learning rates of an epoch, steps x M; those of stopped models are 0."""
        rates = self.solver.rates(epoch, self.plan.steps_per_epoch)
        rates[:, [selection.stopped for selection in self.selections]] = 0
        return rates

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
        while step < len(batches):
            end = min(step + self._steps_at_once, len(batches))
            own = rates[step:end].astype(self.state.W.dtype)
            some = batches.some(step, end)
            made, losses = self.steps(self.state, some, own, self._max_losses)
            step += made
            if step < end:
                place = f"step {first + step + 1} of epoch {self.epochs_finished + 1}"
                self._drop_diverged(losses[made], place, rates[step:], some.some(made, made + 1))
            self.step, self.seconds = first + step, time.perf_counter() - start
            if made:
                observer.steps(made, float(losses[made - 1, 0]), float(rates[step - 1, 0]))

    def _drop_diverged(
        self, losses: NDArray[np.float64], place: str, rates: NDArray[np.float64], batch: Batches
    ) -> None:
        """Set the models whose loss ran away to zero, where they stay; ``rates`` too.

        The message gives the gradient on ``batch``, a single mini-batch.
        """
        self.dataset.check_unchanged()  # not the learning rate, if a file was written over
        state = self.state
        sums = self.separate_steps.sums(state, batch, 0)
        dW, _ = self.objective.gradient(sums, state.W)
        squares = self._mean_square(batch.batch(0))
        for m in np.flatnonzero(~(losses <= self._max_losses)):
            told = describe_divergence(
                state.W[m], dW[m], squares, l2=float(state.l2[m]),
                learning_rate=float(rates[0, m]),
                steps_made=self.epochs_finished * self.steps_per_epoch + self.step,
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
        squares, n = self.communicator.sum(own)
        return float(squares / n)

    def _finish_epoch(
        self, last: Batches, rates: NDArray[np.float64], start: float, observer: Observer
    ) -> list[EpochRecord | None]:
        """Evaluate, keep the best weights, return the history's lines."""
        epoch, state = self.epochs_finished + 1, self.state
        place = f"the end of epoch {epoch}"

        def waiting() -> None:
            _look_outside(observer)

        train = evaluate(
            self.engine, state.W, state.b, self.dataset.train, self.targets, waiting=waiting
        )
        validation = self.validation_figures(self.engine, state.W, state.b, waiting)
        costs = train.loss + self.objective.penalty(state.W)
        if not (costs <= self._max_losses).all():
            self._drop_diverged(costs, place, rates[None].copy(), last)
        if validation is not None and not (validation.loss <= self._max_losses).all():
            self._check_validation(validation, place)
            self._drop_diverged(validation.loss, place, rates[None].copy(), last)
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
                **self.validation_part(validation, m),
            )
            standing = record.standing(self.select_by)
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


def _look_outside(observer: Observer) -> None:
    """Let an observer raise KeyboardInterrupt; no step was made."""
    observer.steps(0, math.nan, 0.0)


def _arrays(state: DescentState) -> dict[str, Array]:
    """Return the arrays of a state of descent by name."""
    return {
        "W": state.W,
        "b": state.b,
        "velocity_W": state.velocity_W,
        "velocity_b": state.velocity_b,
    }
