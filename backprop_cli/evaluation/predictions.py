"""A model's predictions block by block, so that many examples need little memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import class_scores, decide, probabilities
from backprop_cli.losses import Array
from backprop_cli.model import LinearModel
from backprop_cli.sources import Source, Split


@dataclass(frozen=True)
class PredictedBlock:
    """The predictions for n neighbouring examples.

    Attributes
    ----------
    examples
        Which of the examples they are.
    scores
        n x O, O = C or 1.
    temperature
        What scores are divided by before SoftMax.
    """

    examples: slice
    scores: Array
    temperature: float

    def decisions(self) -> NDArray[np.intp]:
        """Return the n decided classes."""
        return decide(self.scores.T)

    def probabilities(self) -> Array:
        """Return the probability of each class, n x C."""
        found: Array = probabilities(self.scores.T / self.scores.dtype.type(self.temperature)).T
        return found

    def top(self, k: int) -> NDArray[np.intp]:
        """Return the k most probable classes, n x k, the most probable first.

        They are ordered by their scores, which rounding to probabilities could make equal; of equal
        scores by number. So the first is the decision.
        """
        order = np.argsort(-class_scores(self.scores.T), axis=0, kind="stable")
        return order[:k].T


def predicted_blocks(
    model: LinearModel, source: Source, rows: NDArray[np.intp], temperature: float = 1.0
) -> Iterator[PredictedBlock]:
    """Yield the predictions for some rows of a source; errors are those of `LinearModel.scores`."""
    for some, scores in model.score_blocks(source, rows):
        yield PredictedBlock(some, scores.T, temperature)


@dataclass(frozen=True)
class Decided:
    """What a model decides for n labelled examples, without an array n x C.

    Attributes
    ----------
    decisions
        The decided classes, n.
    confidence, truth
        The probabilities of the decided and of the true class, n.
    """

    decisions: NDArray[np.intp]
    confidence: Array
    truth: Array


def decided(model: LinearModel, split: Split, temperature: float) -> Decided:
    """Return the decisions for a split; errors are those of `LinearModel.scores`."""
    n, dtype, labels = len(split), model.weights.dtype, split.own_labels()
    found = Decided(np.empty(n, np.intp), np.empty(n, dtype), np.empty(n, dtype))
    for block in predicted_blocks(model, split.source, split.rows, temperature):
        probable, decisions = block.probabilities(), block.decisions()
        rows = np.arange(len(decisions))
        found.decisions[block.examples] = decisions
        found.confidence[block.examples] = probable[rows, decisions]
        found.truth[block.examples] = probable[rows, labels[block.examples]]
    return found
