"""Evaluating M models on a split, in one pass over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator, own_share
from backprop_cli.engine import Engine, Targets
from backprop_cli.evaluation.answers import Answers, taken
from backprop_cli.evaluation.measures import Measure
from backprop_cli.losses import Array
from backprop_cli.sources import Block, Split

_MAX_SCORES = 10_000_000  # in memory


@dataclass(frozen=True)
class Figures:
    """Figures of M models: M numbers each.

    Attributes
    ----------
    loss, accuracy
        Mean loss, and the share of right decisions.
    measured
        The value of another measure, if one was asked for.
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    measured: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Reading:
    """How the examples of a split are read.

    Attributes
    ----------
    split
        The examples.
    communicator
        The processes that have a share in them.
    waiting
        Called now and then while examples are read; may raise KeyboardInterrupt.
    """

    split: Split
    communicator: Communicator
    waiting: Callable[[], None] | None = None

    def blocks(self, at_once: int) -> Iterator[Block]:
        """Yield this process's share, at most ``at_once`` examples in a block."""
        first, last = own_share(self.communicator, len(self.split))
        return self.split.blocks(at_once, first, last, self.waiting)


def evaluate(
    engine: Engine,
    weights: Array,
    bias: Array,
    reading: Reading,
    targets: Targets,
    measure: Measure | None = None,
) -> Figures:
    """Return the figures of M models on all examples of a split.

    Parameters
    ----------
    engine
        What computes.
    weights, bias
        M x O x d and M x O, features in the order in which the split stores them.
    reading
        The examples.
    targets
        What the loss is taken against, and the weights that are factors on the losses.
    measure
        Another figure that is wanted.
    """
    n, n_models = len(reading.split), len(weights)
    at_once, parts = engine.examples_at_once, []
    if measure is not None and measure.takes != "decisions":
        at_once = max(1, min(at_once, _MAX_SCORES // bias.size))
    total, right = np.zeros(n_models), np.zeros(n_models)
    for block in reading.blocks(at_once):
        losses, decided = engine.outcomes(weights, bias, block, targets)
        labels = block.labels[block.rows]
        factors = targets.example_weights(block)
        if factors is not None:
            losses *= factors
        total += losses.sum(axis=1, dtype=np.float64)
        right += (decided == labels).sum(axis=1)
        if measure is not None and measure.takes == "decisions":
            parts.append(decided.astype(np.int32))
        elif measure is not None:
            parts.append(taken(measure.takes, engine.scores(weights, bias, block), labels))
    total, right = reading.communicator.sum(total, right)
    if measure is None:
        return Figures(total / n, right / n)
    own = np.concatenate(parts, axis=1) if parts else None
    found = [share for share in reading.communicator.gather(own) if share is not None]
    measured = [
        _value(measure, reading.split, targets.n_classes, of_model)
        for of_model in np.concatenate(found, axis=1)
    ]
    return Figures(total / n, right / n, np.array(measured))


def _value(measure: Measure, split: Split, n_classes: int, found: NDArray[Any]) -> float:
    """Return a measure of one model from what it takes of all examples."""
    return measure.value(Answers(split.own_labels(), n_classes, **{measure.takes: found}))
