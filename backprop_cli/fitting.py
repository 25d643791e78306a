"""Training, from a data set and settings to models: no configs, no files."""

from __future__ import annotations

from dataclasses import dataclass

from backprop_cli.communicator import Communicator, Serial
from backprop_cli.model import LinearModel
from backprop_cli.settings import Settings
from backprop_cli.solvers.descent import Descent
from backprop_cli.solvers.minibatch import MiniBatchDescent
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.solvers.start import check_against_data
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
    """

    model: LinearModel
    kept_epoch: int
    history: list[EpochRecord]
    diverged: str | None


def prepare(
    source: Dataset,
    settings: Settings,
    solver: MiniBatchDescent,
    communicator: Communicator | None = None,
    standardization: Standardization | None = None,
) -> Descent:
    """Return training before its first step: its state can be looked at, saved and restored.

    Parameters
    ----------
    source, settings, solver, communicator
        As for `fit`.
    standardization
        Of the training split, where it is known; otherwise the data is read once to find it.

    Raises
    ------
    DataError, ConfigError
        The data is not finite, or does not have what the settings ask for.
    """
    check_against_data(settings, source)  # before anything reads what may not be there
    if standardization is None:
        standardization = survey(source, settings.standardize, settings.dtype).standardization
    return Descent(source, settings, solver, standardization, communicator or Serial())


def fit(
    source: Dataset,
    settings: Settings,
    solver: MiniBatchDescent,
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
        How they are trained, with a rule per model.
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
    descent = prepare(source, settings, solver, communicator)
    descent.run(observer or Observer())
    return [
        Fitted(descent.model(m), descent.kept(m).epoch, descent.history[m], descent.diverged[m])
        for m in range(len(settings.models))
    ]
