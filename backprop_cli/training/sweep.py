"""Many settings, one pass over the data: a stacked model each, the winner picked on validation."""

from __future__ import annotations

import itertools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_cli.atomic import write_atomically
from backprop_cli.config import Config
from backprop_cli.datasets import Dataset, fit_standardization, load_dataset
from backprop_cli.errors import DataError, DivergedError
from backprop_cli.training.loop import EpochRecord, Observer, Trainer
from backprop_cli.training.run import Interrupted, Result
from backprop_cli.training.run_directory import RunDirectory, claim_folder

TABLE, HISTORY = "sweep.json", "sweep.jsonl"

KEYS = (
    "training.learning_rate",
    "l2",
    "training.momentum",
    "training.nesterov",
    "training.schedule",
    "training.seed",
    "loss",
    "label_smoothing",
)
"""What the models of a sweep may differ in: all that leaves their mini-batches the same, and the
seed, of which each value is a pass of its own."""

Settings = dict[str, Any]


def combinations(grids: Mapping[str, Sequence[Any]]) -> list[Settings]:
    """Return every combination of the values of each key."""
    return [dict(zip(grids, values, strict=True)) for values in itertools.product(*grids.values())]


def draws(
    grids: Mapping[str, Sequence[Any]],
    ranges: Mapping[str, tuple[float, float]],
    n: int,
    rng: np.random.Generator,
) -> list[Settings]:
    """Draw n settings: a value of each grid, and a number of each range, even in its logarithm."""
    return [
        {
            **{key: values[int(rng.integers(len(values)))] for key, values in grids.items()},
            **{
                key: float(np.exp(rng.uniform(math.log(low), math.log(high))))
                for key, (low, high) in ranges.items()
            },
        }
        for _ in range(n)
    ]


@dataclass(frozen=True)
class Candidate:
    """One model of a sweep.

    ``best_epoch`` and the validation figures are those of the epoch that would be kept; None if
    the model diverged before its first epoch was over.
    """

    settings: Settings
    best_epoch: int | None
    validation_accuracy: float | None
    validation_loss: float | None
    diverged: str | None

    def to_mapping(self) -> dict[str, Any]:
        """Return the candidate as plain Python objects."""
        return dict(self.__dict__)


class _History(Observer):
    """Keeps every model's records, and passes on what the progress bar shows."""

    def __init__(self, observer: Observer, n_models: int) -> None:
        self._observer = observer
        self.records: list[list[EpochRecord]] = [[] for _ in range(n_models)]

    def compiling(self) -> None:
        self._observer.compiling()

    def steps(self, number: int, loss: float, learning_rate: float) -> None:
        self._observer.steps(number, loss, learning_rate)

    def epoch(self, records: Sequence[EpochRecord | None]) -> None:
        for own, record in zip(self.records, records, strict=True):
            if record is not None:
                own.append(record)
        self._observer.epoch(records)


class Sweep:
    """Trains a model for each config; those of one seed in one pass.

    Parameters
    ----------
    configs
        They differ in `KEYS` alone.
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
        self._configs, self._settings = configs, settings
        first = configs[0]
        self.dataset = dataset or load_dataset(first.data, first.model.dtype)
        if self.dataset.validation is None:
            raise DataError("data.validation: a sweep picks its winner on validation, found none")
        self._trained: list[tuple[int, Trainer, int, list[EpochRecord]]] = []

    def run(self, observer: Observer) -> tuple[list[Candidate], Result]:
        """Train all, write the winner's run directory, and evaluate it once on test.

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
            On Ctrl-C; the best of what was finished is in the run directory.
        """
        output = pathlib.Path(self._configs[0].output)
        claim_folder(output)
        passes = self._passes()
        first = passes[0][1]
        observer.begin(first.training.epochs * len(passes), first.steps_per_epoch)
        interrupted = False
        for indices, trainer in passes:
            history = _History(observer, len(indices))
            try:
                trainer.run(history)
            except KeyboardInterrupt:
                interrupted = True
            except DivergedError:
                pass  # this pass has no model left; its messages are in the table
            for m, index in enumerate(indices):
                self._trained.append((index, trainer, m, history.records[m]))
            if interrupted:
                break
        ranked = sorted(self._trained, key=self._rank)
        index, trainer, m, records = ranked[0]
        if trainer.selections[m].kept is None or trainer.diverged[m]:
            if interrupted:
                raise Interrupted(output, 0)
            raise DivergedError(f"every model of the sweep diverged; {trainer.diverged[m]}")
        config = self._configs[index].model_copy(update={"compute": trainer.compute})
        directory = RunDirectory(output, config)
        model = trainer.model(trainer.selections[m], config)
        for record in records:
            directory.record(record.to_mapping(), model)
        directory.save(model)
        candidates = [self._candidate(*item) for item in ranked]
        self._write_tables(output, ranked, candidates)
        if interrupted:
            raise Interrupted(output, trainer.epochs_finished)
        result = Result.of(directory, trainer, m, len(records), model, self.dataset)
        directory.finish(result.to_mapping())
        return candidates, result

    def _passes(self) -> list[tuple[list[int], Trainer]]:
        """Return a trainer for each seed, with the indices of its configs.

        Models with the same loss stand together, so that the loss is computed for all at once.
        """
        seeds = dict.fromkeys(config.training.seed for config in self._configs)
        standardization = fit_standardization(self.dataset, self._configs[0].data.standardize)
        passes = []
        for seed in seeds:
            indices = [k for k, c in enumerate(self._configs) if c.training.seed == seed]
            indices.sort(key=lambda k: self._configs[k].loss)
            trainer = Trainer(self.dataset, [self._configs[k] for k in indices], standardization)
            passes.append((indices, trainer))
        return passes

    def _rank(self, trained: tuple[int, Trainer, int, list[EpochRecord]]) -> tuple[bool, float]:
        _, trainer, m, _ = trained
        figure = trainer.selections[m].best_figure
        return trainer.diverged[m] is not None, -figure

    def _candidate(
        self, index: int, trainer: Trainer, m: int, records: list[EpochRecord]
    ) -> Candidate:
        kept = trainer.selections[m].kept
        record = records[kept.epoch - 1] if kept and kept.epoch <= len(records) else None
        return Candidate(
            settings=self._settings[index],
            best_epoch=record.epoch if record else None,
            validation_accuracy=record.validation_accuracy if record else None,
            validation_loss=record.validation_loss if record else None,
            diverged=trainer.diverged[m],
        )

    def _write_tables(
        self,
        output: pathlib.Path,
        ranked: Sequence[tuple[int, Trainer, int, list[EpochRecord]]],
        candidates: Sequence[Candidate],
    ) -> None:
        table = [candidate.to_mapping() for candidate in candidates]
        write_atomically(output / TABLE, (json.dumps(table, indent=2) + "\n").encode())
        lines = [
            json.dumps({"model": place, **record.to_mapping()}) + "\n"
            for place, (_, _, _, records) in enumerate(ranked)
            for record in records
        ]
        write_atomically(output / HISTORY, "".join(lines).encode())
