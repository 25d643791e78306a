"""Choosing l2 where that costs much: on a part of the examples first, then near it on all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config
from backprop_cli.formats.splits import draw
from backprop_cli.rng import Stream, generator
from backprop_cli.runs.candidate import Candidate
from backprop_cli.runs.penalty import PER_DECADE, Path, cross_validate, l2_values, search_l2
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import Dataset, Source, Split, Standardization, StoredFeatures

# docs/linear-probe.md has the measurement: a product takes 0.1 ns of one core, and a search has
# about 60 passes.
_MAX_WORK = 2e10  # products of a pass, for a search on all examples: about two minutes
_PART_WORK = 5e9  # for a search on a part of them
_READING = 20  # products that take as long as reading a number of the features
_MIN_EXAMPLES, _MIN_PER_CLASS = 5000, 20  # of a part
_STREAMS = {"train": 200, "validation": 201}  # apart from those of folds


@dataclass(frozen=True)
class FirstPart:
    """The part of the examples that l2 was looked for on first.

    Attributes
    ----------
    n_examples, n_all
        How many training examples it has, and out of how many.
    l2
        What was best on it.
    """

    n_examples: int
    n_all: int
    l2: float

    def note(self, values: Sequence[float]) -> str:
        """Return a line on it, and on the values that were tried on all examples."""
        return (
            f"l2 was looked for on {self.n_examples} of {self.n_all} training examples, where "
            f"{self.l2:g} is best, then on all of them from {max(values):g} to {min(values):g}: "
            "a search on all would take long"
        )


@dataclass(frozen=True)
class Chosen:
    """What a search for l2 has found.

    Attributes
    ----------
    ranked
        The models that were compared, best first.
    first_part
        What they were chosen by to be compared; None: all values were tried.
    """

    ranked: list[Candidate]
    first_part: FirstPart | None


@dataclass(frozen=True)
class Comparison:
    """How models are compared.

    Attributes
    ----------
    folds
        K; None: on the validation split.
    groups
        For folds: the group of each row of the training file, or None.
    """

    folds: int | None
    groups: NDArray[np.intp] | None


def choose_l2(
    config: Config,
    dataset: Dataset,
    comparison: Comparison,
    standardization: Standardization | None,
    observer: Observer,
) -> Chosen:
    """Compare values of l2; where a pass has much work, on a part of the examples first.

    On all n examples only the values near the best on n' are tried: from the one above it down to
    the one below n'/n times it. If what l2 stands against is noise, it may be as much smaller as
    there are more examples; if it is the shape of the classes, it stays as it is. Where the best of
    them is the largest or the smallest, the search goes on beyond it.

    Parameters
    ----------
    config
        What the models have in common.
    dataset
        Training examples and, without folds, validation examples.
    comparison
        How models are compared.
    standardization
        Of the training split; None: each training part has its own.
    observer
        Hears of the progress; may raise KeyboardInterrupt.
    """
    values = l2_values(config, dataset.train)

    def search(data: Dataset, own: Comparison, path: Path) -> list[Candidate]:
        if own.folds is None:
            found = search_l2(config, data, path, observer, standardization)
        else:
            found = cross_validate(config, data, path, own.folds, own.groups, observer)
        first = values.index(path.values[0])
        return _ranked(dataclasses.replace(one, index=first + one.index) for one in found)

    n = len(dataset.train)
    n_part = _size(dataset)
    if n_part is None:
        return Chosen(search(dataset, comparison, Path(values)), None)
    part, own = _part(config, dataset, n_part, comparison)
    best = search(part, own, Path(values))[0]
    below = round(PER_DECADE * math.log10(n / n_part)) + 1
    ranked = _search_near(
        lambda near: search(dataset, comparison, Path(near, narrow=True)),
        values,
        max(0, best.index - 1),
        min(best.index + below, len(values) - 1),
    )
    return Chosen(ranked, FirstPart(n_part, n, values[best.index]))


def _search_near(
    search: Callable[[Sequence[float]], list[Candidate]],
    values: Sequence[float],
    first: int,
    last: int,
) -> list[Candidate]:
    """Try values of the grid from one to another, and beyond while the best is one of these two."""
    ranked = search(values[first : last + 1])
    while True:
        best = ranked[0].index
        if best == first > 0:
            first -= 1
            more = search(values[first : first + 1])
        elif best == last < len(values) - 1:
            # It is trained again, as the search may end with it: a smaller l2 may do little.
            last = min(last + PER_DECADE, len(values) - 1)
            more = search(values[best : last + 1])
        else:
            return ranked
        known = {one.index for one in ranked}
        ranked = _ranked([*ranked, *(one for one in more if one.index not in known)])


def _ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=Candidate.rank)


def _size(dataset: Dataset) -> int | None:
    """Return how many training examples a part has; None: all are searched."""
    n, n_classes = len(dataset.train), dataset.n_classes
    work = n * dataset.n_features * (n_classes + _READING)
    if work <= _MAX_WORK:
        return None
    least = max(_MIN_EXAMPLES, _MIN_PER_CLASS * n_classes)
    n_part = max(round(n * (_PART_WORK / work)), least)
    features = dataset.train.features
    if isinstance(features, StoredFeatures):
        room = features.memory // 2  # the rest is for blocks
        n_part = min(n_part, room // (2 * features.row_bytes))  # and as many of validation
        if n_part < least:
            return None  # too few to choose by
    return n_part if n_part < n else None


def _part(
    config: Config, dataset: Dataset, n_part: int, comparison: Comparison
) -> tuple[Dataset, Comparison]:
    """Return a part of the training examples, and at most as many of those for validation.

    It has the same shares of the classes, and is in memory where the features are in files.
    """

    def drawn(split: Split, name: str) -> Split:
        rng = generator(config.data.seed, Stream.SPLIT, _STREAMS[name])
        size = min(n_part, len(split))
        rows, _ = draw(split.rows, split.source.labels, size, rng, stratified=True)
        return Split(split.source, rows)

    train = drawn(dataset.train, "train")
    validation = dataset.validation and drawn(dataset.validation, "validation")
    if isinstance(train.features, StoredFeatures) and comparison.groups is not None:
        comparison = dataclasses.replace(comparison, groups=comparison.groups[train.rows])
    part = dataclasses.replace(
        dataset,
        train=_in_memory(train),
        validation=None if validation is None else _in_memory(validation),
        test=None,
    )
    return part, comparison


def _in_memory(split: Split) -> Split:
    """Return a split whose features are in memory, or mapped."""
    source, rows = split.source, split.rows
    if not isinstance(source.features, StoredFeatures):
        return split
    weights = source.example_weights
    own = Source(
        split.own_features(),
        split.own_labels(),
        source.name,
        source.image,
        source.files,
        None if weights is None else weights[rows],
    )
    return Split(own, np.arange(len(rows)))
