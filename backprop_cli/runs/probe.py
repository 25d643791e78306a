"""A linear probe: l2 chosen on validation examples, the winner trained to its optimum."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config, check_config
from backprop_cli.config.convert import settings_of, solver_of, with_memory
from backprop_cli.config.data import NpyData
from backprop_cli.config.paths import with_absolute_paths
from backprop_cli.config.source import dump
from backprop_cli.errors import ConfigError, DataError
from backprop_cli.evaluation.metrics import evaluate_model
from backprop_cli.fitting import prepare
from backprop_cli.formats import load_dataset
from backprop_cli.formats.columns import as_column, read_values
from backprop_cli.runs.candidate import Candidate, write_tables
from backprop_cli.runs.first_part import Chosen, Comparison, FirstPart, choose_l2
from backprop_cli.runs.penalty import l2_values
from backprop_cli.runs.result import Result
from backprop_cli.runs.run import Run
from backprop_cli.runs.run_directory import folder_for_run, refuse_run
from backprop_cli.runs.session import Interrupted
from backprop_cli.runs.together import check_memory
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import Dataset, Split, Survey, survey

_HELD_OUT = 0.2  # validation and, without a file of its own, test
_OUTPUT = "runs/probe"
_SHOWN = 5  # classes in a note


@dataclass(frozen=True)
class Protocol:
    """How a probe uses its examples.

    Attributes
    ----------
    refit
        Train the winner again, on training and validation examples.
    folds
        Choose l2 by K-fold cross-validation of all but the test examples, then train on all of
        them; None: on one validation split.
    seeds
        Repeat everything on so many splits.
    """

    refit: bool = False
    folds: int | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Varied:
    """What differs between the splits of a probe.

    Attributes
    ----------
    what
        In words, in the plural.
    same_test
        Whether the test examples are always the same.
    only_l2
        Whether the training examples are, too: then models differ only if another l2 is chosen.
    """

    what: str
    same_test: bool
    only_l2: bool


@dataclass(frozen=True)
class Winner:
    """What was best on one split: the chosen l2, and the test accuracy with it."""

    l2: float
    test_accuracy: float


@dataclass(frozen=True)
class Probed:
    """What a probe has found.

    Attributes
    ----------
    config
        The winner's.
    tried
        The models that were compared on the first split, best first.
    first_part
        The part of its examples that l2 was looked for on first; None: on all of them.
    result
        The run of the winner on the first split.
    winners
        The winner's l2 and its test accuracy on each split; empty without test
        examples.
    varied
        What differs between these splits.
    notes
        What its user should know, a line each.
    """

    config: Config
    tried: list[Candidate]
    first_part: FirstPart | None
    result: Result
    winners: list[Winner]
    varied: Varied
    notes: list[str]


def probe_config(
    files: Mapping[str, str | None], overrides: Sequence[str], output: str | None
) -> Config:
    """Return the config of a probe, complete but for l2.

    Parameters
    ----------
    files
        Keys of the data section that name files and columns.
    overrides
        Texts ``KEY=VALUE``.
    output
        The run directory; None: ``runs/probe``.

    Raises
    ------
    ConfigError
        A key or value is wrong, l2 is given, or a file is given twice.
    """
    given = {key: value for key, value in files.items() if value is not None}
    for key in (override.partition("=")[0].strip() for override in overrides):
        if key == "l2":
            raise ConfigError(
                "--set l2: a probe chooses l2; backprop train takes one that is given"
            )
        section, _, name = key.partition(".")
        if section == "data" and name in given:
            raise ConfigError(
                f"--set {key}: the command line names {given[name]} already; remove one of the two"
            )
    held_out = {"validation": _HELD_OUT, "test": _HELD_OUT, "stratified": True}
    text = dump(
        {
            "data": {"format": "npy", **held_out, **given},
            "training": {"solver": "lbfgs"},
            "output": _OUTPUT,
        }
    )
    return with_absolute_paths(check_config(text, "probe", overrides), output)


def run_probe(config: Config, protocol: Protocol, observer: Observer) -> Probed:
    """Choose l2, train the winner to its optimum in a run directory, and evaluate it once on test.

    Parameters
    ----------
    config
        Of `probe_config`.
    protocol
        How the examples are used.
    observer
        Hears of the progress; may raise KeyboardInterrupt, which leaves no run behind before the
        winner is trained.

    Raises
    ------
    DataError, ConfigError, OutputError
        The data cannot be used, or not in this way; the run directory cannot.
    Interrupted
        On KeyboardInterrupt while the winner is trained; ``backprop train --resume`` goes on.
    """
    if (protocol.refit or protocol.folds) and not _draws_validation(config):
        raise ConfigError(
            f"{'--folds' if protocol.folds else '--refit'}: needs validation examples that are "
            "drawn from FEATURES; leave data.validation a fraction or a count"
        )
    dataset = load_dataset(config.data)
    config = with_memory(config, dataset.memory)  # so that every split has its features there
    if protocol.seeds > 1 and dataset.test is None:
        raise DataError("--seeds: compares test accuracies, and data.test is 0")
    varied = _varied(config, protocol)
    path = pathlib.Path(config.output)
    with folder_for_run(path):  # before the search, which may be long, in vain
        refuse_run(path)
        found = _choose(config, dataset, protocol, observer)
        winner, dataset, tried = found.config, found.dataset, found.chosen.ranked
        others = []  # before anything is written: an interrupt leaves no run that is in the way
        for seed in range(1, protocol.seeds):
            data = config.data.model_copy(update={"seed": config.data.seed + seed})
            others.append(_winner(config.model_copy(update={"data": data}), protocol, observer))
        run = Run(winner, dataset, surveyed=found.surveyed)
        try:
            result = run.train(observer)
        except Interrupted:
            write_tables(path, tried)
            raise
        write_tables(path, tried)
    winners = [] if result.test is None else [Winner(winner.l2, result.test.accuracy), *others]
    first = found.chosen.first_part
    search = [] if first is None else [first.note([own.settings["l2"] for own in tried])]
    notes = [*search, *_notes(dataset), *result.ending.remarks, *_edge_notes(winner, dataset)]
    return Probed(run.config, tried, first, result, winners, varied, notes)


def _draws_validation(config: Config) -> bool:
    return not isinstance(config.data.validation, str) and config.data.validation_rows is None


def _varied(config: Config, protocol: Protocol) -> Varied:
    """Return what differs between the splits; refuse several that are all the same."""
    what = "divisions into folds" if protocol.folds else "validation splits"
    if not isinstance(config.data.test, str) and config.data.test_rows is None:
        return Varied("random splits", same_test=False, only_l2=False)
    if protocol.seeds > 1 and not _draws_validation(config):
        raise ConfigError(
            "--seeds: nothing is drawn at random, because both validation and test are files"
        )
    only_l2 = protocol.refit or protocol.folds is not None
    return Varied(f"random {what}", same_test=True, only_l2=only_l2)


@dataclass(frozen=True)
class _Found:
    """The winner's config, the data to train it on and what was read of it, and the search."""

    config: Config
    dataset: Dataset
    surveyed: Survey
    chosen: Chosen


def _choose(config: Config, dataset: Dataset, protocol: Protocol, observer: Observer) -> _Found:
    """Choose l2 for one split."""
    final, trained_on = config, dataset
    if protocol.refit or protocol.folds:
        data = config.data.model_copy(update={"validation": 0})
        final = config.model_copy(update={"data": data})
        trained_on = load_dataset(data)
    check_memory([final], trained_on)
    surveyed = survey(trained_on, config.data.standardize, config.model.dtype)
    if protocol.folds:
        comparison = Comparison(protocol.folds, _groups(config))
        chosen = choose_l2(final, trained_on, comparison, None, observer)
    elif dataset.validation is None:
        raise DataError("data.validation: a probe chooses l2 on validation examples, found none")
    else:
        own = None if protocol.refit else surveyed.standardization
        chosen = choose_l2(config, dataset, Comparison(None, None), own, observer)
    winner = final.model_copy(update=chosen.ranked[0].settings)
    return _Found(winner, trained_on, surveyed, chosen)


def _groups(config: Config) -> NDArray[np.intp] | None:
    """Return the group of each row of the training file."""
    data = config.data
    if not isinstance(data, NpyData) or data.groups is None:
        return None
    values = read_values(data.groups, data.groups_column, "groups_column")
    return as_column(values, data.groups).codes


def _winner(config: Config, protocol: Protocol, observer: Observer) -> Winner:
    """Return what is best on another split."""
    dataset = load_dataset(config.data)
    found = _choose(config, dataset, protocol, observer)
    own = [found.config]
    training = prepare(
        found.dataset, settings_of(own), solver_of(own),
        standardization=found.surveyed.standardization,
    )  # fmt: skip
    training.run(observer)
    return Winner(own[0].l2, evaluate_model(training.model(0), _test(found.dataset)).accuracy)


def _test(dataset: Dataset) -> Split:
    if dataset.test is None:
        raise DataError("data.test: expected test examples, found none")
    return dataset.test


def _edge_notes(config: Config, dataset: Dataset) -> list[str]:
    """Return a note if the best value is the first or the last of the whole grid."""
    l2, values = config.l2, l2_values(config, dataset.train)
    if l2 == values[0]:
        return [
            f"l2: the best value, {l2:g}, is the largest of the grid, where the features have next "
            "to no influence: they say little of the classes, or there are too few examples"
        ]
    if l2 == values[-1]:
        return [
            f"l2: the best value, {l2:g}, is the smallest of the grid; backprop sweep tries others"
        ]
    return []


def _notes(dataset: Dataset) -> list[str]:
    """Return a note on the classes that a split has no example of."""
    notes = []
    names, n = dataset.class_names, dataset.n_classes
    for name, consequence in (
        ("train", "the model cannot learn them"),
        ("validation", "they have no part in the choice of l2"),
        ("test", "they have no part in the test figures"),
    ):
        split = dataset.split(name)
        if split is None:
            continue
        missing = np.flatnonzero(np.bincount(split.own_labels(), minlength=n) == 0).tolist()
        if missing:
            shown = ", ".join(names[k] for k in missing[:_SHOWN])
            more = ", ..." if len(missing) > _SHOWN else ""
            notes.append(
                f"{len(missing)} of {n} classes have no {name} example, so {consequence}: "
                f"{shown}{more}"
            )
    return notes
