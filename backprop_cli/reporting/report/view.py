"""What a report shows of a run, as plain data."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.evaluation.metrics import Evaluation
from backprop_cli.evaluation.predictions import Decided
from backprop_cli.sources import Split, to_planes

_CHOSEN = 12  # mistakes, and as many hard examples


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for the n examples of a split.

    Attributes
    ----------
    split
        train, validation or test.
    decided
        The n decided classes, their probabilities, and those of the true ones.
    examples
        The n examples.
    """

    split: str
    decided: Decided
    examples: Split

    @property
    def decisions(self) -> NDArray[np.intp]:
        """The n decided classes."""
        return self.decided.decisions

    @functools.cached_property
    def labels(self) -> NDArray[np.int64]:
        """The n true classes."""
        return self.examples.own_labels()

    def features(self, i: int) -> NDArray[Any]:
        """Return the raw features of example i, d; those of an image as channel planes."""
        source = self.examples.source
        return to_planes(source.image, source.gather(self.examples.rows[i : i + 1])[0])

    def truth(self) -> NDArray[np.floating[Any]]:
        """Return the probability of the true class of each example, n."""
        return self.decided.truth

    def confidence(self) -> NDArray[np.floating[Any]]:
        """Return the probability of the decided class of each example, n."""
        return self.decided.confidence

    def confident_mistakes(self) -> NDArray[np.intp]:
        """Return the wrong decisions with the highest confidence, the worst first."""
        wrong = np.flatnonzero(self.decisions != self.labels)
        return wrong[np.argsort(-self.confidence()[wrong], kind="stable")][:_CHOSEN]

    def hardest_right(self) -> NDArray[np.intp]:
        """Return the right decisions with the lowest confidence, the hardest first."""
        right = np.flatnonzero(self.decisions == self.labels)
        return right[np.argsort(self.confidence()[right], kind="stable")][:_CHOSEN]


@dataclass(frozen=True)
class RunView:
    """What a report shows of a run.

    Attributes
    ----------
    name
        The name of its folder.
    config
        The value of every key.
    config_text
        The same as YAML text.
    history
        One mapping per epoch, or step of L-BFGS, as in metrics.jsonl.
    training
        How near the optimum the training ended, in words; None if it has not finished.
    kept_epoch
        The epoch whose weights are the model; 0 for the initial weights.
    evaluations
        The figures of each split.
    class_names
        C names.
    image_shape
        (channels, height, width), or None if the features are not images.
    weights
        O x d, on standardized features.
    predictions
        Those for the split that is shown; None if there is none.
    temperature
        What scores are divided by before SoftMax; None if the run was not calibrated.
    sweep
        The rows of sweep.json; None if the run is not of a sweep.
    rates
        The learning rate of every step of the epochs in the history, epochs x steps; None where
        it does not change within an epoch.
    """

    name: str
    config: Mapping[str, Any]
    config_text: str
    history: Sequence[Mapping[str, Any]]
    training: str | None
    kept_epoch: int
    evaluations: Mapping[str, Evaluation]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    weights: NDArray[Any]
    predictions: Predictions | None
    temperature: float | None
    sweep: Sequence[Mapping[str, Any]] | None
    rates: NDArray[np.float64] | None = None

    @property
    def unit(self) -> str:
        """What a line of the history is of: epoch, or step of L-BFGS."""
        return "step" if self.config["training"]["solver"] == "lbfgs" else "epoch"

    @property
    def trained(self) -> str:
        """What the training figures of the history are, for a legend."""
        by_steps = any(line.get("train_figures") == "steps" for line in self.history)
        return "training, mean over the steps" if by_steps else "training"

    @property
    def shown(self) -> Evaluation | None:
        """The figures of the split that is shown."""
        return None if self.predictions is None else self.evaluations[self.predictions.split]
