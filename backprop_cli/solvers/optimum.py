"""Training to the optimum: full-batch L-BFGS of M models, to a duality gap."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backprop_cli.communicator import Communicator
from backprop_cli.errors import ConfigError
from backprop_cli.losses import Array
from backprop_cli.settings import Settings
from backprop_cli.solvers.full_batch import FullBatch
from backprop_cli.solvers.l2_path import (
    gradient_with_l2,
    l2_paths,
    path_before,
    point_with_l2,
    predicted,
)
from backprop_cli.solvers.lbfgs import Inverse, Lbfgs, Point
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.solvers.optimality import Bounds, Optimality, certify
from backprop_cli.solvers.preconditioner import Looked, Preconditioner, time_to_look
from backprop_cli.solvers.selection import Kept, Selection
from backprop_cli.solvers.training import Training, restored_history, saved_history
from backprop_cli.sources import Dataset, Standardization

_MAX_PASSES = 2000  # of one model
_MAX_SHARPENING = 15  # passes of a certificate
_AHEAD = 0.5  # the gap at which a certificate is asked for, in tolerances
_FAR = 1000.0  # times the gap at which a certificate is asked for: no combination of steps helps
_ASK_ANYWAY = 0.01  # in tolerances
_PAUSE = 20  # a certificate that fails is the last one for this part of the trials so far
_UNDERRATES = 20.0  # how far the cost falls in the end, against what the next step predicts


class LbfgsTraining(Training):
    """M models on their way to the optimum, all in the same passes over the data.

    Models that differ in l2 alone are a path, from the largest to the smallest: each starts from
    the optimum of the one before, with its memory. Paths run side by side. Each model has its line
    search and its memory, and leaves the products when it has arrived.

    Parameters
    ----------
    dataset, settings, standardization, communicator
        As for `Training`.
    solver
        When to stop.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        solver: FullBatchLbfgs,
        standardization: Standardization,
        communicator: Communicator,
    ) -> None:
        super().__init__(dataset, settings, solver.select_by, standardization, communicator)
        self.solver: FullBatchLbfgs = solver
        for model in settings.models:
            if model.loss.curvature is None:
                raise ConfigError(
                    f"training.solver: lbfgs needs a smooth loss, found {model.loss.name}; "
                    "take training.solver: sgd, or loss: softmax_cross_entropy"
                )
        self.batch = FullBatch(
            dataset, settings, standardization, communicator, self.threads, lambda blocks: None
        )
        self.expected_engine, self.n_epochs = self.batch.engine_name, None
        self.selections = [Selection("last", None) for _ in settings.models]
        self._start: Array | None = None
        self._searches: dict[int, Lbfgs] = {}
        self._hessians: dict[int, Looked] = {}
        self._paths = l2_paths(settings)
        self._found: dict[int, Optimality] = {}
        self._bounds: dict[int, Bounds] = {}
        self._unjudged: list[int] = []  # of the models, after a pass: which may have arrived

    @property
    def engine_name(self) -> str:
        """What computes at first."""
        return self.expected_engine

    @property
    def steps_per_epoch(self) -> int:
        """How many blocks a pass has."""
        return self.batch.blocks_per_pass

    @property
    def batch_size(self) -> int:
        """How many training examples there are: a step takes them all."""
        return len(self.dataset.train)

    def start_from(self, W: Array, b: Array) -> None:
        """Start from given parameters; see `Training.start_from`. Models start, not paths."""
        self._start = np.concatenate([W, b[:, :, None]], axis=2).astype(np.float64)
        self._paths = [[m] for m in range(len(self.settings.models))]

    def run(self, observer: Observer) -> None:
        """Train from where it stands until every model has arrived; see `Training.run`."""
        observer.begin(None, self.steps_per_epoch, self.epochs_finished * self.steps_per_epoch)
        self.batch.tell = lambda blocks: observer.steps(blocks, self._cost(), math.nan)
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with quiet, self.batch.blas():
            if not self._searches and not self._found:
                self._begin([path[0] for path in self._paths])
            while self._searches:
                if not self._unjudged:
                    self._refine()
                    start = time.perf_counter()
                    moved = self._pass()
                    records = self._records(moved, time.perf_counter() - start)
                    self.dataset.check_unchanged()
                    self.epochs_finished += 1
                    self._unjudged = list(self._searches)
                    observer.epoch(records)
                while self._unjudged:
                    self._arrive(self._unjudged[0])
                    self._unjudged = self._unjudged[1:]

    def optimality(self, m: int, observer: Observer) -> Optimality:
        """Return what was found when model m arrived."""
        return self.certificate(m) or super().optimality(m, observer)

    def certificate(self, m: int) -> Optimality | None:
        """Return what was found when model m arrived; None before."""
        return self._found.get(m)

    def kept(self, m: int) -> Kept:
        """Return what is kept of model m; before its first step, what it starts from."""
        kept = self.selections[m].kept
        if kept is None:
            start = self.batch.start(m).astype(self.settings.dtype)
            kept = Kept(0, np.ascontiguousarray(start[:, :-1]), start[:, -1].copy())
        return kept

    def arrays(self) -> dict[str, Array]:
        """Return the points and memories of all models; see `Training.arrays`."""
        arrays: dict[str, Array] = {}
        for m, search in self._searches.items():
            arrays[f"theta_{m}"] = search.point.theta
            arrays[f"gradient_{m}"] = search.point.gradient
            if m in self._hessians:
                arrays[f"hessian_{m}"] = self._hessians[m].theta
            for name, memory in (("step", search.steps), ("change", search.changes)):
                arrays |= {f"{name}_{m}_{k}": own for k, own in enumerate(memory)}
        for m, selection in enumerate(self.selections):
            if selection.kept is not None:
                arrays |= {f"kept_W_{m}": selection.kept.W, f"kept_b_{m}": selection.kept.b}
        return arrays

    def progress(self) -> dict[str, Any]:
        """Return where it stands; see `Training.progress`."""
        return {
            "epochs_finished": self.epochs_finished,
            "unjudged": self._unjudged,
            "dtype": self.batch.dtype,
            "refined": self.batch.refined,
            "history": saved_history(self.history),
            "paths": self._paths,
            "found": [[m, vars(own)] for m, own in self._found.items()],
            "bounds": [[m, vars(own)] for m, own in self._bounds.items()],
            "hessians": [[m, own.model] for m, own in self._hessians.items()],
            "searches": [[m, search.progress()] for m, search in self._searches.items()],
        }

    def restore(self, arrays: Mapping[str, Array], progress: Mapping[str, Any]) -> None:
        """Go to the state that was saved; see `Training.restore`."""
        self.epochs_finished = progress["epochs_finished"]
        self._unjudged = list(progress["unjudged"])
        if progress["dtype"] != self.batch.dtype:
            self.batch.widen()
        if progress["refined"]:
            self.batch.refine()
        self.history = restored_history(progress["history"])
        self._paths = [list(path) for path in progress["paths"]]
        self._found = {m: Optimality(**own) for m, own in progress["found"]}
        self._bounds = {m: Bounds(**own) for m, own in progress["bounds"]}
        self._hessians = {
            m: Looked(arrays[f"hessian_{m}"].astype(np.float64), model)
            for m, model in progress["hessians"]
        }
        with self.batch.blas():  # as in `run`: their number decides the last digits
            for m, own in progress["searches"]:
                theta, gradient = (
                    arrays[f"{k}_{m}"].astype(np.float64) for k in ("theta", "gradient")
                )
                point = Point(theta, own["cost"], gradient)
                search = Lbfgs(point, self._preconditioner(m), self.batch.first)
                memory = [
                    [arrays[f"{name}_{m}_{k}"].astype(np.float64) for k in range(own["remembered"])]
                    for name in ("step", "change")
                ]
                search.restore(memory[0], memory[1], own)
                self._searches[m] = search
        for m, (selection, records) in enumerate(zip(self.selections, self.history, strict=True)):
            if records:
                last = records[-1].epoch
                selection.update(last, None, arrays[f"kept_W_{m}"], arrays[f"kept_b_{m}"])

    def _begin(self, models: Sequence[int]) -> None:
        """Let some models begin where all scores of a class are equal, or where they are told to.

        The norm that a tolerance is relative to without l2 is that at equal scores, either way.
        """
        points = self.batch.points(models, [self.batch.start(m) for m in models])
        norms = self.batch.first(lambda: [float(np.linalg.norm(own.gradient)) for own in points])
        if self._start is not None:
            points = self.batch.points(models, [self._start[m] for m in models])
        for m, point, norm in zip(models, points, norms, strict=True):
            self._enter(m, point, norm)

    def _enter(
        self, m: int, point: Point, norm: float, preconditioner: Inverse | None = None
    ) -> None:
        self._bounds[m] = Bounds(norm)
        own = preconditioner or self._preconditioner(m)
        self._searches[m] = Lbfgs(point, own, self.batch.first)

    def _preconditioner(self, m: int) -> Preconditioner:
        own = self._hessians.get(m)
        if own is None:
            return self.batch.preconditioner(m)
        return self.batch.preconditioner(m, own.theta, self.batch.l2(own.model))

    def _pass(self) -> list[int]:
        """Evaluate every model at its trial point; return those that have made a step."""
        models, moved = list(self._searches), []
        points = self.batch.points(models, [self._searches[m].trial() for m in models])
        for m, point in zip(models, points, strict=True):
            search = self._searches[m]
            if search.take(point, self.batch.precision):
                moved.append(m)
                if time_to_look(search.iterations):
                    self._hessians[m] = Looked(point.theta, m)
                    search.precondition(self._preconditioner(m))
        return moved

    def _refine(self) -> None:
        """Find all directions of the features for the preconditioners, if it is worth its time.

        A Hessian that was looked at is looked at again. Where none was, for the first few steps,
        the curvatures of equal scores in these directions are near enough until the first look.
        """
        paths = [path for path in self._paths if path]
        if not self.batch.worth_refining(self.epochs_finished, paths, self.solver.tolerance):
            return
        self.batch.refine()
        for m, search in self._searches.items():
            if m in self._hessians:
                self._hessians[m] = Looked(search.point.theta, m)
            search.precondition(self._preconditioner(m))

    def _records(self, moved: Sequence[int], seconds: float) -> list[EpochRecord | None]:
        """Keep the weights of the models that have made a step, and return their records."""
        records: list[EpochRecord | None] = [None] * len(self.history)
        if not moved:
            return records
        models = list(self._searches)
        thetas = np.stack([self._searches[m].point.theta for m in models])
        W = np.ascontiguousarray(thetas[:, :, :-1], self.settings.dtype)
        b = np.ascontiguousarray(thetas[:, :, -1], self.settings.dtype)
        engine = self.batch.engine(models, self.engine_name, self.settings.dtype)
        figures = self.validation_figures(engine, W, b)
        for k, m in enumerate(models):
            if m not in moved:
                continue
            search = self._searches[m]
            penalty = self.batch.l2(m) * float(np.vdot(thetas[k, :, :-1], thetas[k, :, :-1]))
            record = EpochRecord(
                epoch=len(self.history[m]) + 1,
                seconds=seconds,
                learning_rate=search.length,
                train_loss=search.point.cost - penalty,
                train_cost=search.point.cost,
                train_accuracy=None,
                **self.validation_part(figures, k),
            )
            self.history[m].append(record)
            self.selections[m].update(record.epoch, record.standing(self.select_by), W[k], b[k])
            records[m] = record
        return records

    def _arrive(self, m: int) -> None:
        """Let a model leave that is known to be near its optimum, or comes no nearer."""
        search, bounds, l2 = self._searches[m], self._bounds[m], self.batch.l2(m)
        ends = search.trials_in_all >= _MAX_PASSES
        if search.stuck and not ends:
            ends = self._free(m)
        tolerance = self.solver.tolerance
        predicted = 0.0
        if l2 > 0:
            # A certificate makes some more steps, and finds a smaller gap. But a prediction may be
            # far too small, so a certificate is also asked for again where later ones are not.
            goal = tolerance * search.point.cost
            enough = min(_AHEAD * goal, max(bounds.asked, _ASK_ANYWAY * goal))
            own = search.point.gradient[:, :-1]
            squares = self.batch.first(lambda: float(np.vdot(own, own)))
            if squares > _FAR * enough * (4 * l2) and not ends:
                return  # too far to be worth a closer look
            predicted = search.smallest_gradient()[1] / (4 * l2)
            if not self.solver.certified:
                enough, predicted = goal, max(predicted, _UNDERRATES * search.ahead())
            if predicted > enough and not ends:
                return
        norm = self.batch.first(lambda: float(np.linalg.norm(search.point.gradient)))
        if l2 == 0 and norm > tolerance * bounds.norm and not ends:
            return
        if not self.solver.certified:
            if self.selections[m].kept is None:  # it has begun where it ends
                self._records([m], 0.0)
            self._leave(m, Optimality(search.point.cost, None, norm))
            return
        if search.trials_in_all < bounds.after and not ends:
            return
        further = copy.copy(search)
        rounded = search.point.theta.astype(self.settings.dtype).astype(np.float64)
        own_found = certify(self.batch, m, rounded, _MAX_SHARPENING, further)
        found = self.batch.first(lambda: own_found)
        gap = found.relative_gap
        if gap is not None and not found.within(tolerance) and not ends:
            self._searches[m], bounds.asked = further, predicted * tolerance / gap
            bounds.after = further.trials_in_all + further.trials_in_all // _PAUSE
            return
        kept = self.selections[m].kept
        if kept is None or not np.array_equal(np.column_stack([kept.W, kept.b]), rounded):
            self._records([m], 0.0)  # the last certificate has moved it
        self._leave(m, found)

    def _free(self, m: int) -> bool:
        """Do something for a search whose cost cannot be told to fall; return whether to end it."""
        if self.batch.dtype == "float32":
            models = list(self._searches)
            thetas = [self._searches[k].point.theta for k in models]
            points = self.batch.points(models, thetas, "float64")
            self.batch.widen()  # only now: an interrupt leaves all as it was
            for k, point in zip(models, points, strict=True):
                self._searches[k].restart(point)
            return False
        if not self._searches[m].steps:
            return True
        self._searches[m].forget()
        return False

    def _leave(self, m: int, found: Optimality) -> None:
        """Take a model out; the next one of its path begins where its optimum is expected."""
        search, hessian = self._searches[m], self._hessians.get(m)
        path = next(path for path in self._paths if path and path[0] == m)
        following = path[1] if len(path) > 1 else None
        start = self._next_start(m, following)  # first: what is saved in its pass is as before
        self._found[m] = found
        del self._searches[m], path[0]
        self._hessians.pop(m, None)
        if start is None or following is None:
            return
        handed = None
        if hessian is not None:  # the Hessian of its neighbour is good enough for some steps
            self._hessians[following], handed = hessian, search.preconditioner
        self._enter(following, start, self._bounds[m].norm, handed)
        more = self.batch.l2(following) - self.batch.l2(m)
        changes = [
            gradient_with_l2(change, step, more)
            for step, change in zip(search.steps, search.changes, strict=True)
        ]
        self._searches[following].remember(search.steps, changes)

    def _next_start(self, m: int, following: int | None) -> Point | None:
        """Return where the model after m on its path begins, when m has arrived."""
        if following is None:
            return None
        l2 = self.batch.l2(following)
        more = l2 - self.batch.l2(m)
        start = self.batch.first(lambda: point_with_l2(self._searches[m].point, more))
        before = path_before(self.settings, following)
        kept = [self.kept(k) for k in before]
        optima = [np.column_stack([own.W, own.b]).astype(np.float64) for own in kept]
        theta = predicted(l2, [self.batch.l2(k) for k in before], optima)
        if theta is None:
            return start
        point = self.batch.point(following, theta)
        return point if self.batch.first(lambda: point.cost < start.cost) else start

    def _cost(self) -> float:
        return next(iter(self._searches.values())).point.cost if self._searches else math.nan
