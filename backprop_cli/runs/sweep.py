"""Many settings, one pass over the data: a stacked model each, the winner picked on validation."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backprop_cli.atomic import write_atomically
from backprop_cli.config import Config
from backprop_cli.formats import load_dataset
from backprop_cli.sources import Dataset, fit_standardization
from backprop_cli.engine import Array
from backprop_cli.errors import ConfigError, DataError, DivergedError, ModelFileError
from backprop_cli.objective import initial_parameters
from backprop_cli.runs import checkpoint
from backprop_cli.runs.checkpoint import Checkpoint, save_checkpoint
from backprop_cli.solvers.compute import blas_threads
from backprop_cli.runs.identity import (
    coming_fingerprint,
    recorded,
    refuse_differences,
    with_saved_compute,
)
from backprop_cli.solvers.loop import EpochRecord, Observer, Trainer
from backprop_cli.runs.model_file import LinearModel
from backprop_cli.runs.pace import Pace
from backprop_cli.runs.run import Interrupted, Result
from backprop_cli.runs.run_directory import (
    SWEEP_HISTORY,
    SWEEP_TABLE,
    RunDirectory,
    load_summary,
    locked,
    make_folder,
    refuse_run,
)
from backprop_cli.runs.settings import Settings


@dataclass(frozen=True)
class Candidate:
    """One model of a sweep.

    ``best_epoch`` and the validation figures are those of the epoch that would be kept; None if
    the model diverged before its first epoch was over. ``figure`` is what models are ranked by,
    larger is better.
    """

    index: int
    settings: Settings
    best_epoch: int | None
    validation_accuracy: float | None
    validation_loss: float | None
    diverged: str | None
    figure: float | None
    history: list[EpochRecord]

    def to_mapping(self) -> dict[str, Any]:
        """Return the candidate as plain Python objects, but for its history."""
        hidden = ("index", "figure", "history")
        return {key: value for key, value in self.__dict__.items() if key not in hidden}

    def rank(self) -> tuple[bool, float, int]:
        """Return what to sort by, best first; of equal ones the first that was asked for."""
        figure = -math.inf if self.figure is None else self.figure
        return self.diverged is not None, -figure, self.index


@dataclass(frozen=True)
class _Winner:
    """The best model so far."""

    candidate: Candidate
    W: Array
    b: Array


class _Recorder(Observer):
    """Passes everything on, and saves the sweep when that is due."""

    def __init__(self, sweep: Sweep, trainer: Trainer, observer: Observer) -> None:
        self._sweep, self._trainer, self._observer = sweep, trainer, observer

    def compiling(self) -> None:
        self._observer.compiling()

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        self._observer.steps(number, loss, learning_rate)
        self._sweep.save_if_due(self._trainer)

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        self._observer.epoch(records)
        self._sweep.save_if_due(self._trainer)


class Sweep:
    """Trains a model for each config; those of one seed in one pass.

    Parameters
    ----------
    configs
        They differ in the keys that can be swept alone, `settings.KEYS`.
    settings
        What each config has of its own, for the table.
    dataset
        Its data; loaded when not given.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        settings: Sequence[Settings],
        dataset: Dataset | None = None,
    ) -> None:
        self._configs, self._settings = list(configs), settings
        first = configs[0]
        self.dataset = dataset or load_dataset(first.data, first.model.dtype)
        if self.dataset.validation is None:
            raise DataError("data.validation: a sweep picks its winner on validation, found none")
        self._fingerprint = coming_fingerprint(self.dataset)
        self._standardization = fit_standardization(self.dataset, first.data.standardize)
        self.path = pathlib.Path(first.output)
        self._passes = self._make_passes()
        self._finished: list[Candidate] = []
        self._winner: _Winner | None = None
        self._pass = 0
        self._pace = Pace()

    def run(self, observer: Observer, *, resume: bool = False) -> tuple[list[Candidate], Result]:
        """Train all, write the winner's run directory, and evaluate it once on test.

        Parameters
        ----------
        observer
            Hears of the progress; may raise KeyboardInterrupt.
        resume
            Go on with the sweep that is in the directory, from its last checkpoint.

        Returns
        -------
        candidates
            Best first; those that diverged last.
        result
            The winner's.

        Raises
        ------
        DivergedError
            Every model diverged.
        Interrupted
            On KeyboardInterrupt; the checkpoint is on disk.
        OutputError, ConfigError, ModelFileError
            As `Run.train` has them.
        """
        if not resume:
            make_folder(self.path)
        with locked(self.path):
            saved = self._saved() if resume else None
            if not resume:
                refuse_run(self.path)
            trainer = self._trainer(saved)
            epochs, steps = trainer.training.epochs, trainer.steps_per_epoch
            finished = self._pass * epochs + trainer.epochs_finished
            observer.begin(epochs * len(self._passes), steps, finished * steps + trainer.step)
            while True:
                self._run_pass(trainer, observer)
                self._pass += 1
                if self._pass == len(self._passes):
                    return self._finish()
                trainer = self._trainer(None)

    def save_if_due(self, trainer: Trainer) -> None:
        """Write a checkpoint, if the last one is long enough ago."""
        if self._pace.due():
            self._save(trainer)
            self._pace.written()

    def _make_passes(self) -> list[list[int]]:
        """Return the indices of the configs of each seed.

        Models with the same loss stand together, so that the loss is computed for all at once.
        """
        seeds = dict.fromkeys(config.training.seed for config in self._configs)
        passes = []
        for seed in seeds:
            indices = [k for k, c in enumerate(self._configs) if c.training.seed == seed]
            passes.append(sorted(indices, key=lambda k: self._configs[k].loss))
        return passes

    def _trainer(self, saved: Checkpoint | None) -> Trainer:
        """Return the trainer of the pass that is next, or goes on; its configs become complete."""
        before = []
        if saved is not None:
            before = self._configs_of(saved)
            self._pass = int(saved.about["pass"])
        indices = self._passes[self._pass]
        for index, config in enumerate(before):  # what `auto` meant, it goes on to mean
            compute = config.compute
            if config.recorded is None:  # its pass has not begun
                threads = before[indices[0]].compute.threads
                compute = compute.model_copy(update={"threads": threads})
            self._configs[index] = with_saved_compute(self._configs[index], compute)
        trainer = Trainer(self.dataset, [self._configs[k] for k in indices], self._standardization)
        update = {
            "compute": trainer.compute,
            "recorded": recorded(self._fingerprint.result(), trainer.compute),
        }
        for k in indices:
            self._configs[k] = self._configs[k].model_copy(update=update)
        if saved is not None:
            self._restore(saved, before, trainer)
        return trainer

    def _run_pass(self, trainer: Trainer, observer: Observer) -> None:
        try:
            self.save_if_due(trainer)
            trainer.run(_Recorder(self, trainer, observer))
        except KeyboardInterrupt:
            self._save(trainer)
            finished = self._pass * trainer.training.epochs + trainer.epochs_finished
            raise Interrupted(self.path, finished) from None
        except DivergedError:
            pass  # this pass has no model left; its messages are in the table
        for m, index in enumerate(self._passes[self._pass]):
            candidate = self._candidate(index, trainer, m)
            self._finished.append(candidate)
            kept = trainer.selections[m].kept
            best = self._winner
            if kept is None or candidate.diverged:
                continue
            if best is None or candidate.rank() < best.candidate.rank():
                self._winner = _Winner(candidate, kept.W, kept.b)

    def _candidate(self, index: int, trainer: Trainer, m: int) -> Candidate:
        kept, history = trainer.selections[m].kept, trainer.history[m]
        record = history[kept.epoch - 1] if kept and kept.epoch <= len(history) else None
        return Candidate(
            index=index,
            settings=self._settings[index],
            best_epoch=record.epoch if record else None,
            validation_accuracy=record.validation_accuracy if record else None,
            validation_loss=record.validation_loss if record else None,
            diverged=trainer.diverged[m],
            figure=record.figure(trainer.training.select_by) if record else None,
            history=history,
        )

    def _finish(self) -> tuple[list[Candidate], Result]:
        ranked = sorted(self._finished, key=Candidate.rank)
        best = ranked[0] if self._winner is None else self._winner.candidate
        config, dataset = self._configs[best.index], self.dataset
        if self._winner is None:  # the weights that its best model started from, to be looked at
            W, b = initial_parameters([config], dataset.n_classes, dataset.n_features)
            weights, bias = W[0], b[0]
        else:
            weights, bias = self._winner.W, self._winner.b
        model = LinearModel(
            weights,
            bias,
            self._standardization,
            dataset.class_names,
            dataset.image_shape,
            config.loss,
        )
        self._write_tables(ranked)
        directory = RunDirectory(self.path, config)
        directory.write_config()
        history = [] if self._winner is None else best.history
        directory.save([record.to_mapping() for record in history], model)
        if self._winner is None:
            raise DivergedError(f"every model of the sweep diverged; {best.diverged}")
        epochs = len(best.history)
        with blas_threads(int(config.compute.threads)):
            result = Result.of(self.path, epochs, best.best_epoch or 0, model, dataset)
        directory.finish(result.to_mapping())
        return ranked, result

    def _write_tables(self, ranked: Sequence[Candidate]) -> None:
        table = [candidate.to_mapping() for candidate in ranked]
        write_atomically(self.path / SWEEP_TABLE, (json.dumps(table, indent=2) + "\n").encode())
        lines = [
            json.dumps({"model": place, **record.to_mapping()}) + "\n"
            for place, candidate in enumerate(ranked)
            for record in candidate.history
        ]
        write_atomically(self.path / SWEEP_HISTORY, "".join(lines).encode())

    def _save(self, trainer: Trainer) -> None:
        best = self._winner
        about = {
            "sweep": [config.to_mapping() for config in self._configs],
            "pass": self._pass,
            "winner": None if best is None else best.candidate.index,
            "finished": [
                {**c.__dict__, "history": [r.to_mapping() for r in c.history]}
                for c in self._finished
            ],
        }
        more = {} if best is None else {"winner_W": best.W, "winner_b": best.b}
        save_checkpoint(self.path / checkpoint.FILE_NAME, trainer, about, more)

    def _saved(self) -> Checkpoint | None:
        """Return the checkpoint to go on from; None if there is none yet."""
        if load_summary(self.path) is not None:
            raise ModelFileError(f"{self.path}: this sweep has finished; backprop eval shows it")
        file = self.path / checkpoint.FILE_NAME
        if not file.exists():
            raise ModelFileError(
                f"{self.path}: no sweep to go on with, found no {file.name}; "
                "without --resume it starts anew"
            )
        saved = Checkpoint(file)
        about = saved.about
        if "sweep" not in about:
            raise ModelFileError(f"{self.path}: not a sweep; backprop train --resume goes on")
        if len(about["sweep"]) != len(self._configs) or about["pass"] >= len(self._passes):
            raise ConfigError(
                f"{self.path}: the sweep has {len(about['sweep'])} settings, now there are "
                f"{len(self._configs)}, or other ones"
            )
        return saved

    def _configs_of(self, saved: Checkpoint) -> list[Config]:
        try:
            return [Config.model_validate(mapping) for mapping in saved.about["sweep"]]
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"{self.path}: a broken checkpoint: {error}") from error

    def _restore(self, saved: Checkpoint, before: list[Config], trainer: Trainer) -> None:
        """Take up what was saved.

        Raises
        ------
        ConfigError
            It is of another sweep, of other data or by another version.
        ModelFileError
            It is broken.
        """
        about = saved.about
        try:
            finished = [
                Candidate(**{**c, "history": [EpochRecord(**line) for line in c["history"]]})
                for c in about["finished"]
            ]
            best = [c for c in finished if c.index == about["winner"]]
        except (TypeError, ValueError, KeyError) as error:
            raise ModelFileError(f"{self.path}: a broken checkpoint: {error}") from error
        for index, saved_config in enumerate(before):
            own = self._configs[index]
            if index not in self._passes[self._pass]:
                known = {"compute": saved_config.compute, "recorded": saved_config.recorded}
                own = own.model_copy(update=known)
                if saved_config.recorded is not None:  # its pass is over
                    self._configs[index] = own
            refuse_differences(saved_config, own, f"{self.path}: model {index}")
        saved.restore(trainer)
        self._finished = finished
        if best:
            self._winner = _Winner(best[0], saved.arrays["winner_W"], saved.arrays["winner_b"])
