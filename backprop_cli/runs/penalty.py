"""Choosing l2 on validation examples, from the strongest penalty to the weakest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config
from backprop_cli.config.convert import settings_of, solver_of
from backprop_cli.errors import DataError
from backprop_cli.fitting import prepare
from backprop_cli.formats.splits import Rows, draw, draw_groups
from backprop_cli.rng import Stream, generator
from backprop_cli.runs.candidate import Candidate
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.sources import Dataset, Split, Standardization

_MIN_L2 = 1e-8
PER_DECADE = 2
"""Values of a grid."""
_SAMPLE_NUMBERS = 2_000_000  # that the scale of features is found from
_PATIENCE = 3  # values of the grid without a better figure or a lower loss
_NARROW_PATIENCE = 1  # where all values are near the best one
_TRAINS = 0.99  # of the training loss at the largest l2: below, a model has learned something
_SEPARATED = 1e-3  # mean training loss: right decisions by wide margins
_IDLE = 1e-5  # of the cost, the penalty's share: without it the loss could be lower by about that
SEARCH_TOLERANCE = 1e-3
"""The relative gap at which L-BFGS stops a model that is only compared."""


def l2_grid(n_features: int, variance: float = 1.0) -> list[float]:
    """Return the values of l2 to try, from the largest.

    The mean squared norm of standardized examples is d, the number of features. It bounds the
    curvature of the loss, so that from l2 = d on the penalty decides alone and a larger l2 scales
    the weights down without changing decisions. The grid begins at the power of ten that is not
    below d. Features that are c times as large have weights of 1 / c times the size, so that l2
    has to be c^2 times as large for the same penalty: the grid moves by the features' variance.

    Parameters
    ----------
    n_features
        d.
    variance
        The mean variance of the features as the model takes them; 1 if they are standardized.

    Examples
    --------
    >>> l2_grid(30)[:4]
    [100.0, 31.62, 10.0, 3.162]
    """
    scale = round(PER_DECADE * math.log10(variance))
    first = math.ceil(math.log10(n_features)) * PER_DECADE + scale
    last = round(math.log10(_MIN_L2)) * PER_DECADE + scale
    return [float(f"{10 ** (k / PER_DECADE):.4g}") for k in range(first, last - 1, -1)]


def l2_values(config: Config, train: Split) -> list[float]:
    """Return the values of l2 to try on a training split, from the largest."""
    variance = _mean_variance(train) if config.data.standardize == "none" else 1.0
    return l2_grid(train.features.shape[1], variance)


def _mean_variance(split: Split) -> float:
    """Return the mean variance of the features, from a sample; 1 where that is 0 or not finite.

    The bias takes up the mean of the features, so it has no part in the penalty.
    """
    n = max(2, _SAMPLE_NUMBERS // split.features.shape[1])
    block = split.source.block(split.rows[:: max(1, len(split) // n)])
    sample = block.features[block.rows].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        variance = float(sample.var(axis=0).mean())
    return variance if 0 < variance < math.inf else 1.0


@dataclass(frozen=True)
class Path:
    """Which values of l2 to try.

    Attributes
    ----------
    values
        From the largest.
    narrow
        They are known to be near the best one: one that is no better ends the path.
    """

    values: Sequence[float]
    narrow: bool = False


def search_l2(
    config: Config,
    dataset: Dataset,
    path: Path,
    observer: Observer,
    standardization: Standardization | None = None,
) -> list[Candidate]:
    """Train a model for each l2 of a grid, as far down as it is of use.

    With L-BFGS the models are a path: each starts at the optimum of the one before. It ends when
    three values in succession (one, if they are narrow) have brought neither a better validation
    figure nor a lower validation loss, or when a smaller l2 does little: where the training loss is
    next to 0, so that it but multiplies the weights, or where the penalty is. The smallest values
    cost the most steps.
    Models of mini-batch descent are trained side by side, all of them to the end.

    Parameters
    ----------
    config
        What the models have in common.
    dataset
        Its data, with validation examples.
    path
        The grid.
    observer
        Hears of the progress; may raise KeyboardInterrupt.
    standardization
        Of the features, where it is known.

    Returns
    -------
    list of Candidate
        From the largest l2.
    """
    values = path.values
    training = config.training.model_copy(update={"tolerance": SEARCH_TOLERANCE})
    configs = [config.model_copy(update={"l2": l2, "training": training}) for l2 in values]
    solver = solver_of(configs)
    if isinstance(solver, FullBatchLbfgs):
        solver = dataclasses.replace(solver, certified=False)
    models = prepare(dataset, settings_of(configs), solver, standardization=standardization)
    is_path = config.training.solver == "lbfgs"
    listener = (
        _Ender(observer, config.training.select_by, narrow=path.narrow) if is_path else observer
    )
    n_finished = len(values)
    try:
        models.run(listener)
    except _Ended as ended:
        n_finished = ended.n_finished
    found = [Candidate.of(m, {"l2": values[m]}, models, m) for m in range(n_finished)]
    return [candidate for candidate in found if candidate.standing is not None]


def cross_validate(
    config: Config,
    dataset: Dataset,
    path: Path,
    n_folds: int,
    groups: NDArray[np.intp] | None,
    observer: Observer,
) -> list[Candidate]:
    """Search l2 on each of K folds of the training split; return the means of the figures.

    Parameters
    ----------
    config, observer
        As for `search_l2`.
    dataset
        Its training split is divided into the folds.
    path
        The grid.
    n_folds
        K.
    groups
        The group of each row of the training file: none is in two folds. None: no groups.

    Returns
    -------
    list of Candidate
        From the largest l2, those that were trained on every fold.

    Raises
    ------
    DataError
        There are fewer examples, or groups, than folds.
    """
    own = dataset.train
    searched = []
    for fold in draw_folds(config, own, n_folds, groups):
        rest = np.setdiff1d(own.rows, fold, assume_unique=True)
        parts = Dataset(Split(own.source, rest), Split(own.source, fold), None, dataset.class_names)
        found = search_l2(config, parts, path, observer)
        searched.append({candidate.index: candidate for candidate in found})
    common = sorted(set.intersection(*map(set, searched)))
    return [_mean([found[index] for found in searched]) for index in common]


def draw_folds(
    config: Config, split: Split, n_folds: int, groups: NDArray[np.intp] | None
) -> list[Rows]:
    """Divide the rows of a split into K folds of about the same size; see `cross_validate`."""
    data, rest = config.data, split.rows
    what, n = (
        ("examples", len(rest)) if groups is None else ("groups", len(np.unique(groups[rest])))
    )
    if n < n_folds:
        raise DataError(f"--folds {n_folds}: expected as many {what} or more, found {n}")
    labels, folds = split.source.labels, []
    for remaining in range(n_folds, 1, -1):
        rng = generator(data.seed, Stream.SPLIT, 100 + remaining)
        size = len(rest) // remaining
        if groups is None:
            fold, rest = draw(rest, labels, size, rng, stratified=data.stratified)
        else:
            fold, rest = draw_groups(rest, labels, groups, size, rng, stratified=data.stratified)
        folds.append(fold)
    return [*folds, rest]


def _mean(candidates: Sequence[Candidate]) -> Candidate:
    """Return one candidate with the mean figures of several."""
    first = candidates[0]
    standings = [c.standing for c in candidates if c.standing is not None]
    accuracies = [c.validation_accuracy for c in candidates if c.validation_accuracy is not None]
    losses = [c.validation_loss for c in candidates if c.validation_loss is not None]
    measures = {
        name: fmean(v for c in candidates if (v := c.validation_measures[name]) is not None)
        for name in first.validation_measures
    }
    return Candidate(
        index=first.index,
        settings=first.settings,
        best_epoch=None,
        validation_accuracy=fmean(accuracies),
        validation_loss=fmean(losses),
        validation_measures=measures,
        diverged=next((c.diverged for c in candidates if c.diverged), None),
        standing=(fmean(s[0] for s in standings), fmean(s[1] for s in standings)),
        history=[],
    )


class _Ended(Exception):  # noqa: N818 - not an error: the end of a path
    """A path need not go on."""

    def __init__(self, n_finished: int) -> None:
        super().__init__(n_finished)
        self.n_finished = n_finished


class _Ender(Observer):
    """Follows the models of a path, and raises `_Ended` when it need not go on."""

    def __init__(self, observer: Observer, select_by: str, *, narrow: bool) -> None:
        self._observer, self._select_by, self._narrow = observer, select_by, narrow
        self._last: dict[int, EpochRecord] = {}

    def begin(self, n_epochs: int | None, steps_per_epoch: int, steps_made: int) -> None:
        """Pass it on."""
        self._observer.begin(n_epochs, steps_per_epoch, steps_made)

    def compiling(self) -> None:
        """Pass it on."""
        self._observer.compiling()

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        """Pass it on."""
        self._observer.steps(number, loss, learning_rate)

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        """Look at the models before, if this is the first record of another one; pass it on."""
        moved = [m for m, record in enumerate(records) if record is not None]
        if moved and moved[-1] not in self._last and self._has_ended():
            raise _Ended(moved[-1])
        self._last |= {m: record for m in moved if (record := records[m]) is not None}
        self._observer.epoch(records)

    def _has_ended(self) -> bool:
        """Return whether smaller values of l2 than those that were trained are of no use."""
        records = list(self._last.values())
        found = [record.standing(self._select_by) for record in records]
        standings = [standing for standing in found if standing is not None]
        if not standings:
            return False
        figures, losses = zip(*standings, strict=True)
        latest = max(own.index(max(own)) for own in (figures, losses))
        # Next to W = 0, figures move by rounding alone.
        trained = [  # an epoch of L-BFGS has both
            (own.train_loss, own.train_cost)
            for own in records
            if own.train_loss is not None and own.train_cost is not None
        ]
        loss, cost = trained[-1]
        trains = self._narrow or loss < _TRAINS * trained[0][0]
        patience = _NARROW_PATIENCE if self._narrow else _PATIENCE
        has_turned = trains and len(standings) - 1 - latest >= patience
        idle = trains and cost - loss < _IDLE * cost
        return has_turned or idle or loss < _SEPARATED
