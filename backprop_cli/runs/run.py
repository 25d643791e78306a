"""A whole run: data in, a run directory out."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable

from backprop_cli.communicator import Communicator, Serial
from backprop_cli.config import Config, load_config
from backprop_cli.config.convert import settings_of, solver_of, with_memory, with_solver
from backprop_cli.config.schema import Compute
from backprop_cli.engine import blas_threads
from backprop_cli.errors import ConfigError, DivergedError, ModelFileError
from backprop_cli.fitting import prepare
from backprop_cli.runs import checkpoint
from backprop_cli.runs.checkpoint import Checkpoint, save_checkpoint
from backprop_cli.runs.convergence import Ending
from backprop_cli.runs.identity import config_digest, processes_of, recorded, refuse_differences
from backprop_cli.runs.result import Result
from backprop_cli.runs.run_directory import (
    CONFIG,
    RunDirectory,
    load_summary,
    refuse_run,
    run_config_file,
)
from backprop_cli.runs.session import Session, entered
from backprop_cli.runs.together import check_memory, check_same_data, load_shared
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import Dataset, Survey, survey


class Run:
    """One run of a config.

    Parameters
    ----------
    config
        Complete; ``output`` says where the run directory is made.
    dataset
        Its data; loaded when not given.
    communicator
        The processes that train together; rank 0 writes the run directory.
    surveyed
        What was read of the data, where it has been.
    dry
        Whether it is only to be described. What takes long and is for training alone is left out:
        the fingerprint of the data, and loading the kernels.
    tell
        As for `survey`.

    Attributes
    ----------
    dataset
        Its data.
    training
        The training, and where it stands.
    config
        Complete, with what `auto` became.
    path
        The run directory.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset | None = None,
        communicator: Communicator | None = None,
        surveyed: Survey | None = None,
        *,
        dry: bool = False,
        tell: Callable[[int, int], None] | None = None,
    ) -> None:
        self._communicator = communicator = communicator or Serial()
        self._writes = communicator.rank == 0
        self.dataset = dataset or load_shared(config.data, communicator)
        settings, solver = settings_of([config]), solver_of([config])
        check_memory([config], self.dataset)
        found = surveyed or survey(
            self.dataset, settings.standardize, settings.dtype, fingerprint=not dry, tell=tell
        )
        if not dry:
            check_same_data(communicator, found.fingerprint)
        self.training = training = prepare(
            self.dataset, settings, solver, communicator, found.standardization, dry=dry
        )
        name = training.expected_engine if dry else training.engine_name
        compute = Compute(backend=name, threads=training.threads)
        record = None if dry else recorded(found.fingerprint, compute, communicator.size)
        update = {"compute": compute, "recorded": record}
        config = with_memory(config.model_copy(update=update), self.dataset.memory)
        self.config = with_solver(config, self.training.solver, 0)
        self.path = pathlib.Path(config.output)
        self._directory = RunDirectory(self.path, self.config, writes=self._writes)

    def train(self, observer: Observer, *, resume: bool = False) -> Result:
        """Train, evaluate, and leave the run directory complete.

        Parameters
        ----------
        observer
            Hears of the progress; may raise KeyboardInterrupt.
        resume
            Go on with the run that is in the directory, from its last checkpoint.

        Raises
        ------
        Interrupted
            On KeyboardInterrupt; the checkpoint is on disk.
        DivergedError
            What was last good is on disk.
        OutputError
            The run directory cannot be written, is in use, or holds another run.
        ConfigError, ModelFileError
            The run that is to be resumed is another one, or broken.
        """
        training = self.training
        with entered(self.path, resume=resume) if self._writes else contextlib.nullcontext():
            if resume:
                self._resume()
            else:
                if self._writes:
                    refuse_run(self.path, self.config)
                self._directory.write_config()
            session = Session(self.path, self._save, observer)
            try:
                session.train(training)
            except DivergedError:
                self._save_model()  # of the epochs before
                raise
            self._save()
            optimality = session.optimality(training, 0, training.epochs_finished)
            with blas_threads(training.threads):
                result = Result.of(
                    self.path,
                    training.model(0),
                    self.dataset,
                    Ending.of(training, 0, optimality),
                    self._communicator,
                )
            self._directory.finish(result.to_mapping())
        return result

    def _save(self) -> None:
        if not self._writes:
            return
        self.dataset.check_unchanged()  # or a checkpoint would be of a mixture
        self._save_model()
        about = {"config": config_digest(self.config)}
        save_checkpoint(self.path / checkpoint.FILE_NAME, self.training, about)

    def _save_model(self) -> None:
        lines = [record.to_mapping() for record in self.training.history[0]]
        self._directory.save(lines, self.training.model(0))

    def _resume(self) -> None:
        """Take up what was saved, as rank 0 has read it."""
        found = self._communicator.first(self._checkpoint)
        if found is not None:
            found.restore(self.training)

    def _checkpoint(self) -> Checkpoint | None:
        """Return what to go on from; None if the run was stopped before its first step."""
        saved = load_config(run_config_file(str(self.path)))
        refuse_differences(saved, self.config, str(self.path))
        if load_summary(self.path) is not None:
            raise ModelFileError(f"{self.path}: this run has finished; backprop eval shows it")
        if processes_of(saved) != self._communicator.size:
            self._directory.write_config()
        file = self.path / checkpoint.FILE_NAME
        if not file.exists():
            return None
        found = Checkpoint(file)
        if found.about.get("config") != config_digest(self.config):
            raise ConfigError(
                f"{self.path / CONFIG}: is not the config that the checkpoint was written with; "
                "it was changed, or the checkpoint is of a sweep (sweep --resume)"
            )
        return found
