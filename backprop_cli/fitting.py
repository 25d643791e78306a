"""Training, from a data set and settings to models: no configs, no files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

from backprop_cli.communicator import Communicator, Serial
from backprop_cli.errors import DataError
from backprop_cli.model import LinearModel
from backprop_cli.settings import Settings
from backprop_cli.solvers.descent import Descent
from backprop_cli.solvers.methods import FullBatchLbfgs, MiniBatchDescent, Solver
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.solvers.optimality import Optimality
from backprop_cli.solvers.optimum import LbfgsTraining
from backprop_cli.solvers.start import check_against_data
from backprop_cli.solvers.training import Training
from backprop_cli.sources import Dataset, Standardization, survey


@dataclass(frozen=True)
class Fitted:
    """One trained model.

    Attributes
    ----------
    model
        The classifier.
    kept_epoch
        The epoch whose weights it has, from 1; 0 for those that training started from.
    history
        A record per epoch.
    diverged
        What happened if its loss ran away, else None.
    optimality
        How far it is from the optimum, at most; None if it diverged.
    """

    model: LinearModel
    kept_epoch: int
    history: list[EpochRecord]
    diverged: str | None
    optimality: Optimality | None


@overload
def prepare(
    source: Dataset,
    settings: Settings,
    solver: MiniBatchDescent,
    communicator: Communicator | None = None,
    standardization: Standardization | None = None,
    *,
    dry: bool = False,
    part: bool = False,
) -> Descent: ...


@overload
def prepare(
    source: Dataset,
    settings: Settings,
    solver: Solver,
    communicator: Communicator | None = None,
    standardization: Standardization | None = None,
    *,
    dry: bool = False,
    part: bool = False,
) -> Training: ...


def prepare(
    source: Dataset,
    settings: Settings,
    solver: Solver,
    communicator: Communicator | None = None,
    standardization: Standardization | None = None,
    *,
    dry: bool = False,
    part: bool = False,
) -> Training:
    """Return training before its first step: its state can be looked at, saved and restored.

    Parameters
    ----------
    source, settings, solver, communicator
        As for `fit`.
    standardization
        Of the training split, where it is known; otherwise the data is read once to find it.
    dry
        Whether to leave the engine until it is used: loading the kernels takes a while.
    part
        Whether others were trained on, or will be: then all may be of one class.

    Raises
    ------
    DataError, ConfigError
        The data is not finite, or does not have what the settings ask for.
    """
    check_against_data(settings, source)  # before anything reads what may not be there
    if not part:
        _check_classes(source)
    if standardization is None:
        found = survey(source, settings.standardize, settings.dtype, fingerprint=False)
        standardization = found.standardization
    communicator = communicator or Serial()
    if isinstance(solver, FullBatchLbfgs):
        return LbfgsTraining(source, settings, solver, standardization, communicator)
    descent = Descent(source, settings, solver, standardization, communicator)
    if not dry:
        _ = descent.engine  # made now, so that what it cannot do is told now
    return descent


def _check_classes(dataset: Dataset) -> None:
    """Refuse to train on examples of a single class, from which nothing can be learned."""
    labels = dataset.train.own_labels()
    if (labels == labels[0]).all():
        raise DataError(
            f"{dataset.train.source.name}: the class of every training example is "
            f"{dataset.class_names[labels[0]]!r} ({len(labels)} in all): training needs examples "
            "of at least two classes"
        )


def fit(
    source: Dataset,
    settings: Settings,
    solver: Solver,
    communicator: Communicator | None = None,
    observer: Observer | None = None,
) -> list[Fitted]:
    """Train M linear classifiers.

    Parameters
    ----------
    source
        Training examples, and perhaps validation examples, which say which epoch to keep.
    settings
        The models: one, or a stack that shares every pass over the data.
    solver
        How they are trained: mini-batch descent, with a rule per model, or L-BFGS.
    communicator
        The processes that train together; by default this one is alone.
    observer
        Hears of the progress.

    Returns
    -------
    list of Fitted
        One per model.

    Raises
    ------
    DataError, ConfigError
        The data is not finite, or does not have what the settings ask for.
    DivergedError
        Every model's loss ran away.
    """
    observer = observer or Observer()
    training = prepare(source, settings, solver, communicator)
    training.run(observer)
    return [
        Fitted(
            training.model(m),
            training.kept(m).epoch,
            training.history[m],
            diverged,
            None if diverged else training.optimality(m, observer),
        )
        for m, diverged in enumerate(training.diverged)
    ]
