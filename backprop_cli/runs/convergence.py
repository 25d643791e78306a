"""What a finished training says of itself: how near the optimum it ended, and what to do if not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_cli.losses import SOFTMAX_CROSS_ENTROPY, Array
from backprop_cli.plan import Shuffle
from backprop_cli.solvers.methods import FullBatchLbfgs, MiniBatchDescent
from backprop_cli.solvers.observer import TrainFigures
from backprop_cli.solvers.optimality import Optimality
from backprop_cli.solvers.start import training_targets
from backprop_cli.solvers.training import Training
from backprop_cli.sources import Split

_LARGE_GAP = 0.02  # relative
_PERCENT = 1e-3  # a relative gap from which it is given in percent
_CHUNK_NUMBERS = 200_000  # that are compared at once
_STILL_FALLS = 0.01  # of the cost, per epoch: without a bound on the gap, the only sign
_ABOVE = 1.001  # times the loss of equal scores: what four digits can show


@dataclass(frozen=True)
class Ending:
    """How a training ended.

    Attributes
    ----------
    epochs, kept_epoch
        How many epochs were trained, and which one's weights are the model. Of L-BFGS, steps.
    unit
        Which of both: epoch or step.
    optimality
        How far from the optimum the model is, at most.
    remarks
        What its user should know, a line each.
    shuffle
        How far the order of examples was random, where that was not all the way; else None.
    train_figures
        Where the training figures of the history come from.
    """

    epochs: int
    kept_epoch: int
    unit: str
    optimality: Optimality
    remarks: tuple[str, ...]
    shuffle: Shuffle | None = None
    train_figures: TrainFigures = "evaluation"

    @classmethod
    def of(
        cls, training: Training, m: int, optimality: Optimality, more: Sequence[str] = ()
    ) -> Ending:
        """Return the ending of model m of a training that is over."""
        constant = _constant_remarks(training.dataset.train)
        separated = _separated_remarks(training, m, optimality.cost)
        own = separated or _remarks(training, m, optimality)  # that it still falls is the same
        remarks = [*training.warnings, *constant, *own, *more]
        return cls(
            epochs=len(training.history[m]),
            kept_epoch=training.kept(m).epoch,
            unit="step" if isinstance(training.solver, FullBatchLbfgs) else "epoch",
            optimality=optimality,
            remarks=tuple(remarks),
            shuffle=training.shuffle,
            train_figures=_train_figures(training),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the ending as plain Python objects."""
        found = self.optimality
        return {
            "epochs": self.epochs,
            "kept_epoch": self.kept_epoch,
            "train": {
                "cost": found.cost,
                "gap": found.gap,
                "relative_gap": found.relative_gap,
                "gradient_norm": found.gradient_norm,
            },
            "train_figures": self.train_figures,
            "shuffle": None if self.shuffle is None else self.shuffle.to_mapping(),
            "remarks": list(self.remarks),
        }

    def line(self) -> str:
        """Return how near the optimum the model is, for people."""
        return optimality_text(self.to_mapping()["train"])


def _train_figures(training: Training) -> TrainFigures:
    solver = training.solver
    by_steps = isinstance(solver, MiniBatchDescent) and solver.train_figures == "steps"
    return "steps" if by_steps else "evaluation"


def length_line(unit: str, kept: int, n: int) -> str:
    """Return a line on how long a training was: the epoch kept of n, or n steps of L-BFGS."""
    return f"{'steps':<12}{n}" if unit == "step" else f"{unit:<12}{kept} kept of {n}"


def optimality_text(train: Mapping[str, float | None]) -> str:
    """Return in words what a summary says of the training cost."""
    cost, gap = train["cost"], train["gap"]
    if cost is None or gap is None:
        return f"cost {cost:.6g}, gradient norm {train['gradient_norm']:.2g}"
    above = _above(cost, gap)
    if above > 1:
        return f"cost {cost:.6g}, the optimum is at least {max(cost - gap, 0.0):.2g}"
    near = f"{above:.1e}" if above < _PERCENT else _percent(above)
    return f"cost {cost:.6g}, within {near} of the optimum"


def edge_remarks(grids: Mapping[str, Sequence[Any]], winner: Mapping[str, Any]) -> list[str]:
    """Return a remark for each key whose winning value is the last one on a side of its grid."""
    remarks = []
    for key, values in grids.items():
        numbers = sorted({v for v in values if isinstance(v, int | float)})
        value = winner.get(key)
        if key == "training.seed" or len(numbers) < 2 or value not in (numbers[0], numbers[-1]):
            continue
        if value == 0:
            continue  # nothing is below
        side = "smallest" if value == numbers[0] else "largest"
        beyond = "smaller" if value == numbers[0] else "larger"
        remarks.append(f"{key}: the best value, {value:g}, is the {side} tried: try {beyond} ones")
    return remarks


def _constant_remarks(train: Split) -> list[str]:
    """Return a remark if all training examples have the same features.

    Others differ in the first rows already, so that no more are read.
    """
    step = max(1, _CHUNK_NUMBERS // train.features.shape[1])
    first = None
    for start in range(0, len(train), step):
        block = train.block(start, start + step)
        features = block.features[block.rows]
        first = features[0] if first is None else first
        if (features != first).any():
            return []
    return [
        "the features of all training examples are the same, so the model has learned no more than "
        "how frequent the classes are: look at the file of features"
    ]


def _separated_remarks(training: Training, m: int, cost: float) -> list[str]:
    """Return a remark if the cost has no minimum: without l2, where the classes are separated.

    An example with a softmax loss below log 2 gives its class more than half of the probability.
    If n J is below log 2 times the smallest weight, so is each loss, and c W has less cost than W
    for every c > 1 that is large enough.
    """
    model, train = training.settings.models[m], training.dataset.train
    if model.l2 > 0 or model.label_smoothing > 0 or model.loss is not SOFTMAX_CROSS_ENTROPY:
        return []
    v = _example_weights(training)
    least = 1.0 if v is None else float(v[v > 0].min(initial=math.inf))
    if not cost * len(train) < math.log(2) * least:
        return []
    return [
        "the classes of the training examples are separated without error, so with l2 0 the cost "
        "has no minimum, and the weights would grow without end: set l2, for example to 0.0001"
    ]


def _remarks(training: Training, m: int, optimality: Optimality) -> list[str]:
    history, solver = training.history[m], training.solver
    if not history:
        return []
    relative = optimality.relative_gap
    if isinstance(solver, FullBatchLbfgs):
        if relative is None or relative <= solver.tolerance:
            return []
        return [
            f"not converged: the gap is {relative:.1e} of the cost, and training.tolerance is "
            f"{solver.tolerance:g}; try a larger l2, or model.dtype: float64"
        ]
    costs = [(own.epoch, own.train_cost) for own in history if own.train_cost is not None]
    last, model = history[-1], training.settings.models[m]
    equal = model.loss.at_equal_scores(training.dataset.n_classes) * _mean_weight(training)
    if last.train_loss is not None and last.train_loss > _ABOVE * equal:
        remedy = "try a lower training.learning_rate"
        if training.settings.standardize == "none":  # features of 1e6 make large scores of any W
            remedy = f"standardize the features, or {remedy} or model.initial_std"
        return [
            f"the training loss, {last.train_loss:.4g}, is above that of equal scores, "
            f"{equal:.4g}: {remedy}"
        ]
    if model.loss.curvature is None or solver.horizontal_flips:
        relative = None  # loose where a loss has kinks; with flips another cost was minimized
    falls = 0.0
    if len(costs) > 1 and costs[-2][1] > 0:
        falls = (1 - costs[-1][1] / costs[-2][1]) / (costs[-1][0] - costs[-2][0])
    if relative is not None:
        if relative < _LARGE_GAP:
            return []
        falls = min(falls, relative)  # averages over an epoch's steps are those of earlier weights
    elif falls < _STILL_FALLS:
        return []
    lbfgs = model.loss.curvature is not None and not solver.horizontal_flips
    remedy = f"try more epochs, another rate{', or training.solver: lbfgs' if lbfgs else ''}"
    if falls >= _STILL_FALLS or relative is None:
        return [f"not converged: the cost still falls {_percent(falls)} per epoch; {remedy}"]
    kept = training.kept(m).epoch
    above = _how_far(optimality.cost, relative)
    if kept < last.epoch:
        return [
            f"not at the optimum: epoch {kept} of {last.epoch} was the best on validation, where "
            f"{above}; training.keep: last keeps the last one"
        ]
    return [f"not converged: {above}; {remedy}"]


def _mean_weight(training: Training) -> float:
    """Return the mean weight of the training examples, by which the loss is scaled."""
    v = _example_weights(training)
    return 1.0 if v is None else float(v.mean(dtype=np.float64))


def _example_weights(training: Training) -> Array | None:
    targets = training_targets(training.settings, training.dataset)
    return targets.example_weights(training.dataset.train.without_features())


def _above(cost: float, gap: float) -> float:
    """Return by what share of the optimum the cost is above it, at most."""
    if gap == 0:
        return 0.0
    return gap / (cost - gap) if gap < cost else math.inf


def _how_far(cost: float, relative: float) -> str:
    above = _above(1.0, relative)
    if above > 1:
        return f"the cost is {cost:.4g}, and its optimum may be {max(1 - relative, 0.0) * cost:.2g}"
    return f"the cost may be {_percent(above)} above its optimum"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
