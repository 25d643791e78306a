"""A whole run: data in, a run directory out."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backprop_cli.config import Config, load_config
from backprop_cli.formats import load_dataset
from backprop_cli.sources import Dataset
from backprop_cli.errors import ConfigError, DivergedError, ModelFileError
from backprop_cli.runs import checkpoint
from backprop_cli.runs.checkpoint import Checkpoint, save_checkpoint
from backprop_cli.solvers.compute import blas_threads
from backprop_cli.runs.identity import (
    coming_fingerprint,
    config_digest,
    recorded,
    refuse_differences,
)
from backprop_cli.solvers.loop import EpochRecord, Observer, Trainer
from backprop_cli.evaluation.metrics import Evaluation
from backprop_cli.runs.model_file import LinearModel
from backprop_cli.runs.pace import Pace
from backprop_cli.runs.run_directory import (
    CONFIG,
    RunDirectory,
    load_summary,
    locked,
    make_folder,
    model_digest,
    refuse_run,
    run_config_file,
)


@dataclass(frozen=True)
class Result:
    """What a finished run says.

    ``validation`` and ``test`` are None where there are no such examples.
    """

    path: pathlib.Path
    epochs: int
    kept_epoch: int
    validation: Evaluation | None
    test: Evaluation | None
    model_sha256: str

    @classmethod
    def of(
        cls,
        path: pathlib.Path,
        epochs: int,
        kept_epoch: int,
        model: LinearModel,
        dataset: Dataset,
    ) -> Result:
        """Evaluate the model whose file is in a run directory, trained so many epochs."""
        return cls(
            path=path,
            epochs=epochs,
            kept_epoch=kept_epoch,
            validation=model.evaluate(dataset.validation, "validation")
            if dataset.validation
            else None,
            test=model.evaluate(dataset.test, "test") if dataset.test else None,
            model_sha256=model_digest(path),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the summary as plain Python objects."""

        def figures(evaluation: Evaluation | None) -> dict[str, Any] | None:
            if evaluation is None:
                return None
            return {
                "examples": evaluation.n_examples,
                "accuracy": evaluation.accuracy,
                "loss": evaluation.loss,
            }

        return {
            "run": str(self.path),
            "epochs": self.epochs,
            "kept_epoch": self.kept_epoch,
            "validation": figures(self.validation),
            "test": figures(self.test),
            "model_sha256": self.model_sha256,
        }


class Interrupted(Exception):  # noqa: N818 - not an error: what the user asked for
    """The user, or a scheduler, stopped the run; it can go on from its checkpoint."""

    def __init__(self, path: pathlib.Path, epochs: int) -> None:
        super().__init__(path, epochs)
        self.path, self.epochs = path, epochs


class _Recorder(Observer):
    """Passes everything on, and saves the run when that is due."""

    def __init__(self, run: Run, observer: Observer) -> None:
        self._run, self._observer = run, observer

    def begin(self, n_epochs: int, steps_per_epoch: int, steps_made: int) -> None:
        self._observer.begin(n_epochs, steps_per_epoch, steps_made)

    def compiling(self) -> None:
        self._observer.compiling()

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        self._observer.steps(number, loss, learning_rate)
        self._run.save_if_due()

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        self._observer.epoch(records)
        self._run.save_if_due()


class Run:
    """One run of a config.

    Parameters
    ----------
    config
        Complete; ``output`` says where the run directory is made.
    dataset
        Its data; loaded when not given.
    """

    def __init__(self, config: Config, dataset: Dataset | None = None) -> None:
        self.dataset = dataset or load_dataset(config.data, config.model.dtype)
        data = coming_fingerprint(self.dataset)
        self.trainer = Trainer(self.dataset, [config])
        compute = self.trainer.compute
        update = {"compute": compute, "recorded": recorded(data.result(), compute)}
        self.config = config.model_copy(update=update)
        self.path = pathlib.Path(config.output)
        self._directory = RunDirectory(self.path, self.config)
        self._pace = Pace()

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
            What was good last is on disk.
        OutputError
            The run directory cannot be written, is in use, or holds another run.
        ConfigError, ModelFileError
            The run that is to be resumed is another one, or broken.
        """
        if not resume:
            make_folder(self.path)
        with locked(self.path):
            if resume:
                self._resume()
            else:
                refuse_run(self.path, self.config)
                self._directory.write_config()
            try:
                self.save_if_due()
                self.trainer.run(_Recorder(self, observer))
            except KeyboardInterrupt:
                self._save()
                raise Interrupted(self.path, self.trainer.epochs_finished) from None
            except DivergedError:
                self._save_model()  # of the epochs before
                raise
            self._save()
            kept = self.trainer.selections[0].kept
            with blas_threads(int(self.config.compute.threads)):
                result = Result.of(
                    self.path,
                    self.trainer.epochs_finished,
                    kept.epoch if kept else 0,
                    self.trainer.model(0),
                    self.dataset,
                )
            self._directory.finish(result.to_mapping())
        return result

    def save_if_due(self) -> None:
        """Write history, model and checkpoint, if the last time is long enough ago."""
        if self._pace.due():
            self._save()
            self._pace.written()

    def _save(self) -> None:
        self._save_model()
        about = {"config": config_digest(self.config)}
        save_checkpoint(self.path / checkpoint.FILE_NAME, self.trainer, about)

    def _save_model(self) -> None:
        lines = [record.to_mapping() for record in self.trainer.history[0]]
        self._directory.save(lines, self.trainer.model(0))

    def _resume(self) -> None:
        saved = load_config(run_config_file(str(self.path)))
        refuse_differences(saved, self.config, str(self.path))
        if load_summary(self.path) is not None:
            raise ModelFileError(f"{self.path}: this run has finished; backprop eval shows it")
        file = self.path / checkpoint.FILE_NAME
        if not file.exists():  # it was stopped before its first step
            return
        found = Checkpoint(file)
        if found.about.get("config") != config_digest(self.config):
            raise ConfigError(
                f"{self.path / CONFIG}: is not the config that the checkpoint was written with; "
                "it was changed, or the checkpoint is of a sweep (sweep --resume)"
            )
        found.restore(self.trainer)
