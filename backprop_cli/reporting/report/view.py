"""What there is to show of a run, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHOSEN = 12  # mistakes, and hard ones


@dataclass(frozen=True)
class Predictions:
    """What a model says of the n examples of a split.

    Attributes
    ----------
    split
        train, validation or test.
    probabilities
        n x C.
    labels
        n, the true classes.
    decisions
        n.
    features
        N x d, as the file has them.
    rows
        n: which of the N.
    """

    split: str
    probabilities: NDArray[np.floating[Any]]
    labels: NDArray[np.int64]
    decisions: NDArray[np.intp]
    features: NDArray[Any]
    rows: NDArray[np.intp]

    def of_truth(self) -> NDArray[np.floating[Any]]:
        """Return the probability of the true class of each example, n."""
        values: NDArray[np.floating[Any]] = self.probabilities[
            np.arange(len(self.labels)), self.labels
        ]
        return values

    def confidence(self) -> NDArray[np.floating[Any]]:
        """Return the probability of the class decided for, n."""
        values: NDArray[np.floating[Any]] = self.probabilities[
            np.arange(len(self.labels)), self.decisions
        ]
        return values

    def confident_mistakes(self) -> NDArray[np.intp]:
        """Return the examples that are wrong with the most confidence, the worst first."""
        wrong = np.flatnonzero(self.decisions != self.labels)
        return wrong[np.argsort(-self.confidence()[wrong], kind="stable")][:_CHOSEN]

    def hardest_right(self) -> NDArray[np.intp]:
        """Return the examples that are right with the least confidence, the hardest first."""
        right = np.flatnonzero(self.decisions == self.labels)
        return right[np.argsort(self.confidence()[right], kind="stable")][:_CHOSEN]


@dataclass(frozen=True)
class RunView:
    """A run.

    Attributes
    ----------
    name
        Its folder.
    config
        Every key with its value.
    config_text
        The same as YAML.
    history
        A mapping an epoch, as in metrics.jsonl.
    kept_epoch
        The epoch whose weights are the model; 0 for the initial ones.
    evaluations
        Of each split there is, what ``eval --json`` says.
    class_names
        C names.
    image_shape
        (channels, height, width), or None.
    weights
        O x d, on standardized features.
    predictions
        Of the split that is shown; None where there is none.
    temperature
        What scores are divided by before SoftMax, or None if that was not calibrated.
    sweep
        The rows of sweep.json, or None.
    """

    name: str
    config: Mapping[str, Any]
    config_text: str
    history: Sequence[Mapping[str, Any]]
    kept_epoch: int
    evaluations: Mapping[str, Mapping[str, Any]]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    weights: NDArray[Any]
    predictions: Predictions | None
    temperature: float | None
    sweep: Sequence[Mapping[str, Any]] | None

    @property
    def shown(self) -> Mapping[str, Any] | None:
        """What ``eval --json`` says of the split that is shown."""
        return None if self.predictions is None else self.evaluations[self.predictions.split]
