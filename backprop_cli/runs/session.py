"""Training inside a run directory: it is saved when that is due, and when it is interrupted."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Sequence

from backprop_cli.runs.pace import Pace
from backprop_cli.runs.run_directory import locked, make_folder
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import EpochRecord, Observer
from backprop_cli.solvers.optimality import Optimality
from backprop_cli.solvers.training import Training


class Interrupted(Exception):  # noqa: N818 - not an error: what the user asked for
    """The user, or a scheduler, stopped the run; it can go on from its checkpoint."""

    def __init__(self, path: pathlib.Path, passes: int, unit: str) -> None:
        super().__init__(path, passes, unit)
        self.path, self.passes, self.unit = path, passes, unit


@contextlib.contextmanager
def entered(path: pathlib.Path, *, resume: bool) -> Iterator[None]:
    """Keep a run directory to oneself; it is made first, unless a run goes on there."""
    if not resume:
        make_folder(path)
    with locked(path):
        yield


class Session(Observer):
    """Trains, passes on what it hears, and saves when that is due.

    Parameters
    ----------
    path
        The run directory.
    save
        Writes all that is needed to go on.
    observer
        Hears of the progress; may raise KeyboardInterrupt.
    begun
        Whether the observer has heard of the whole job's beginning.
    """

    def __init__(
        self,
        path: pathlib.Path,
        save: Callable[[], None],
        observer: Observer,
        *,
        begun: bool = False,
    ) -> None:
        self._path, self._save, self._observer = path, save, observer
        self._tells = not begun
        self._pace = Pace()

    def train(self, training: Training, epochs_before: int = 0) -> None:
        """Train to the end.

        Parameters
        ----------
        training
            What is trained.
        epochs_before
            Epochs of the same job that came before its first.

        Raises
        ------
        Interrupted
            On KeyboardInterrupt; all is saved.
        DivergedError
            No model is left.
        """
        try:
            self._save_if_due()
            training.run(self)
        except KeyboardInterrupt:
            self._save()
            passes = epochs_before + training.epochs_finished
            raise Interrupted(self._path, passes, _unit(training)) from None

    def optimality(self, training: Training, m: int, epochs: int) -> Optimality:
        """Find how far the model m that is kept is from the optimum; all is saved before.

        Raises
        ------
        Interrupted
            On KeyboardInterrupt.
        """
        try:
            return training.optimality(m, self._observer)
        except KeyboardInterrupt:
            raise Interrupted(self._path, epochs, _unit(training)) from None

    def begin(self, n_epochs: int | None, steps_per_epoch: int, steps_made: int) -> None:
        """Pass it on, unless the job has begun before."""
        if self._tells:
            self._observer.begin(n_epochs, steps_per_epoch, steps_made)

    def compiling(self) -> None:
        """Pass it on."""
        self._observer.compiling()

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        """Pass it on, and save."""
        self._observer.steps(number, loss, learning_rate)
        self._save_if_due()

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        """Pass it on, and save."""
        self._observer.epoch(records)
        self._save_if_due()

    def _save_if_due(self) -> None:
        if self._pace.due():
            self._save()
            self._pace.written()


def _unit(training: Training) -> str:
    """Return what the progress of a training is counted in."""
    return "pass" if isinstance(training.solver, FullBatchLbfgs) else "epoch"
