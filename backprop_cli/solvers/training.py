"""What the training by any solver has: models, their history, and what is kept of them."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backprop_cli.communicator import Communicator
from backprop_cli.engine import Engine, Targets, resolved_threads
from backprop_cli.errors import ConfigError
from backprop_cli.evaluation.evaluate import Figures, Reading, evaluate
from backprop_cli.evaluation.measures import MEASURES, SELECTABLE, refuse_unsuited
from backprop_cli.losses import Array
from backprop_cli.model import LinearModel
from backprop_cli.plan import Shuffle
from backprop_cli.settings import Settings
from backprop_cli.solvers.full_batch import FullBatch
from backprop_cli.solvers.methods import Solver
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.solvers.optimality import Optimality, certify
from backprop_cli.solvers.selection import Kept, Selection
from backprop_cli.solvers.start import initial_parameters
from backprop_cli.sources import Dataset, Standardization, is_sorted, to_planes

_MAX_PASSES = 15  # of L-BFGS over the data, in the search for a dual point


class Training(abc.ABC):
    """M models that share data and number type, while they are trained.

    Parameters
    ----------
    dataset
        What to train on; `check_against_data` has passed it.
    settings
        The models.
    select_by
        The validation figure that epochs, and models, are compared by.
    standardization
        Of the training split.
    communicator
        The processes that train together.

    Attributes
    ----------
    solver
        How they are trained; nothing is left open any more.
    expected_engine, threads
        What will compute, unless its packages turn out to be broken; nothing is `auto` any more.
    n_epochs
        How many epochs there will be, at most; None if that is not known.
    selections
        What is kept of each model.
    diverged
        For each model, what happened if its loss ran away, else None.
    history
        The records of each model's epochs.
    epochs_finished
        Where it stands.
    shuffle
        How far the order of examples is random, where that is not all the way; else None.
    """

    expected_engine: str
    solver: Solver
    n_epochs: int | None
    selections: list[Selection]

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        select_by: str,
        standardization: Standardization,
        communicator: Communicator,
    ) -> None:
        self.dataset, self.settings, self.select_by = dataset, settings, select_by
        self.standardization, self.communicator = standardization, communicator
        self._check_select_by()
        own = select_by in ("accuracy", "loss")  # which every evaluation has
        self._measure = None if own else MEASURES[select_by]
        self.threads = resolved_threads(settings.threads, communicator.on_cores)
        self.diverged: list[str | None] = [None] * len(settings.models)
        self.epochs_finished = 0
        self.shuffle: Shuffle | None = None
        self.history: list[list[EpochRecord]] = [[] for _ in settings.models]

    @abc.abstractmethod
    def run(self, observer: Observer) -> None:
        """Train from where it stands to the end.

        Raises
        ------
        DivergedError
            No model is left. What was kept until then stays in ``selections``.
        DataError
            A file of the data was changed meanwhile, or the validation loss alone runs away.
        """

    @abc.abstractmethod
    def start_from(self, W: Array, b: Array) -> None:
        """Start from given parameters, M x O x d and M x O; training has not begun."""

    def optimality(self, m: int, observer: Observer) -> Optimality:
        """Return how far from the optimum the model m that is kept is, at most.

        The observer hears of no steps, but may raise KeyboardInterrupt.
        """
        batch = FullBatch(
            self.dataset,
            dataclasses.replace(self.settings, models=(self.settings.models[m],)),
            self.standardization,
            self.communicator,
            self.threads,
            lambda blocks: observer.steps(0, math.nan, 0.0),
        )
        kept = self.kept(m)
        theta = np.concatenate([kept.W, kept.b[:, None]], axis=1).astype(np.float64)
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with quiet, batch.blas():
            return certify(batch, 0, theta, _MAX_PASSES)

    @functools.cached_property
    def warnings(self) -> tuple[str, ...]:
        """What its user should know before training begins, a line each."""
        shuffle = self.shuffle
        if shuffle is None or not is_sorted(self.dataset.train.own_labels(), shuffle.block):
            return ()
        return (
            f"the training examples are sorted by class, and only {shuffle.buffer} of "
            f"{shuffle.n_examples} are shuffled at once, so mini-batches are uneven; shuffle the "
            "files (backprop data shuffle), or raise data.memory",
        )

    def certificate(self, m: int) -> Optimality | None:
        """Return what training has found on its way of `optimality`; None if it does not look."""
        return None

    @property
    @abc.abstractmethod
    def engine_name(self) -> str:
        """What computes."""

    @property
    @abc.abstractmethod
    def steps_per_epoch(self) -> int:
        """How often an observer hears of an epoch's steps, at most."""

    @property
    def steps_made(self) -> int:
        """How many steps of the epoch that is not finished have been made."""
        return 0

    @property
    @abc.abstractmethod
    def batch_size(self) -> int:
        """Examples per step."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Return the arrays that a checkpoint must hold, by name."""

    @abc.abstractmethod
    def progress(self) -> dict[str, Any]:
        """Return the rest of what a checkpoint must hold, as plain Python objects."""

    @abc.abstractmethod
    def restore(self, arrays: Mapping[str, Array], progress: Mapping[str, Any]) -> None:
        """Go to the state that was saved; training has not begun.

        Raises
        ------
        TypeError, ValueError, KeyError
            It is of other models.
        """

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

    def validation_figures(
        self, engine: Engine, W: Array, b: Array, waiting: Callable[[], None] | None = None
    ) -> Figures | None:
        """Return the figures of some models on the validation split; None if there is none.

        ``waiting`` is as for `Reading`.
        """
        split = self.dataset.validation
        if split is None:
            return None
        plain = Targets.plain(self.dataset.n_classes, W.dtype)
        reading = Reading(split, self.communicator, waiting)
        return evaluate(engine, W, b, reading, plain, self._measure)

    def validation_part(self, figures: Figures | None, k: int) -> dict[str, Any]:
        """Return what an epoch's record says of model k's validation figures."""
        if figures is None:
            return {"validation_loss": None, "validation_accuracy": None}
        measured = figures.measured
        return {
            "validation_loss": float(figures.loss[k]),
            "validation_accuracy": float(figures.accuracy[k]),
            "validation_measures": (
                {} if measured is None else {self.select_by: float(measured[k])}
            ),
        }

    def _check_select_by(self) -> None:
        if self.select_by not in SELECTABLE:
            expected = f"{', '.join(SELECTABLE[:-1])} or {SELECTABLE[-1]}"
            raise ConfigError(f"training.select_by: expected {expected}, found {self.select_by!r}")
        if self.dataset.validation is not None:
            labels = self.dataset.validation.own_labels()
            refuse_unsuited(self.select_by, labels, self.dataset.n_classes)


def saved_history(history: list[list[EpochRecord]]) -> list[list[dict[str, Any]]]:
    """Return the records of all models as plain Python objects."""
    return [[record.to_mapping() for record in own] for own in history]


def restored_history(saved: Any) -> list[list[EpochRecord]]:
    """Return the records that `saved_history` returned."""
    return [[EpochRecord.from_mapping(line) for line in own] for own in saved]


def restore_arrays(places: Mapping[str, Array], saved: Mapping[str, Array]) -> None:
    """Copy saved arrays into those that there are.

    Raises
    ------
    ValueError
        One is missing, or of another shape or type.
    """
    for name, place in places.items():
        found = saved.get(name)
        if found is None or found.shape != place.shape or found.dtype != place.dtype:
            shape = " x ".join(map(str, place.shape))
            raise ValueError(f"expected {name} of {place.dtype}, {shape}")
        place[...] = found
