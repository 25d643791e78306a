"""A whole run: data in, a run directory out."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backprop_cli.config import Config
from backprop_cli.datasets import Dataset, load_dataset
from backprop_cli.errors import DivergedError
from backprop_cli.training.loop import EpochRecord, Observer, Trainer
from backprop_cli.training.metrics import Evaluation
from backprop_cli.training.model_file import LinearModel
from backprop_cli.training.run_directory import RunDirectory


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

    @classmethod
    def of(
        cls,
        directory: RunDirectory,
        trainer: Trainer,
        m: int,
        epochs: int,
        model: LinearModel,
        dataset: Dataset,
    ) -> Result:
        """Evaluate the kept weights of a trainer's model m, trained so many epochs."""
        kept = trainer.selections[m].kept
        return cls(
            path=directory.path,
            epochs=epochs,
            kept_epoch=kept.epoch if kept else 0,
            validation=model.evaluate(dataset.validation, "validation")
            if dataset.validation
            else None,
            test=model.evaluate(dataset.test, "test") if dataset.test else None,
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
        }


class Interrupted(Exception):  # noqa: N818 - not an error: what the user asked for
    """The user stopped the run."""

    def __init__(self, path: pathlib.Path, epochs: int) -> None:
        super().__init__(path, epochs)
        self.path, self.epochs = path, epochs


class _Recorder(Observer):
    """Passes everything on, and gives each epoch to the run directory."""

    def __init__(self, run: Run, observer: Observer) -> None:
        self._run, self._observer = run, observer

    def begin(self, n_epochs: int, steps_per_epoch: int) -> None:
        self._observer.begin(n_epochs, steps_per_epoch)

    def compiling(self) -> None:
        self._observer.compiling()

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        self._observer.steps(number, loss, learning_rate)

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        if records[0] is not None:
            self._run.directory.record(records[0].to_mapping(), self._run.model())
        self._observer.epoch(records)


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
        self.trainer = Trainer(self.dataset, [config])
        self.config = config.model_copy(update={"compute": self.trainer.compute})

    def train(self, observer: Observer) -> Result:
        """Train, evaluate, and leave the run directory complete.

        Raises
        ------
        Interrupted
            On Ctrl-C; the last finished epoch's history and model are on disk.
        DivergedError
            Likewise.
        OutputError
            The run directory cannot be written, or holds another run.
        """
        self.directory = RunDirectory(pathlib.Path(self.config.output), self.config)
        try:
            self.trainer.run(_Recorder(self, observer))
        except KeyboardInterrupt:
            self._save()
            raise Interrupted(self.directory.path, self.trainer.epochs_finished) from None
        except DivergedError:
            self._save()
            raise
        self._save()
        result = Result.of(
            self.directory,
            self.trainer,
            0,
            self.trainer.epochs_finished,
            self.model(),
            self.dataset,
        )
        self.directory.finish(result.to_mapping())
        return result

    def model(self) -> LinearModel:
        """Return the model to keep now."""
        return self.trainer.model(self.trainer.selections[0], self.config)

    def _save(self) -> None:
        if self.trainer.epochs_finished:
            self.directory.save(self.model())
        else:
            self.directory.abandon()
