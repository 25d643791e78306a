"""What a config and its data make of the engine: targets, class weights, the starting point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config
from backprop_cli.engine import Array, fill_targets
from backprop_cli.errors import ConfigError, DataError
from backprop_cli.rng import Stream, generator
from backprop_cli.sources import Dataset


@dataclass(frozen=True)
class Objective:
    """Targets and weights of a loss.

    Attributes
    ----------
    n_classes
        C.
    label_smoothing
        M numbers, or one that serves all models.
    class_weights
        A factor on the loss of each class, C, or None for 1.
    """

    n_classes: int
    label_smoothing: Array
    class_weights: Array | None = None

    def buffer(self, n: int) -> Array:
        """Return room for the targets of n examples."""
        size = len(self.label_smoothing) * self.n_classes * n
        return np.empty(size, self.label_smoothing.dtype)

    def targets(self, labels: NDArray[np.int64], buffer: Array) -> Array:
        """Return Y for labels, M x C x n or 1 x C x n, within a `buffer` of as many or more."""
        shape = (len(self.label_smoothing), self.n_classes, len(labels))
        Y = buffer[: math.prod(shape)].reshape(shape)
        return fill_targets(labels, self.label_smoothing, Y)

    def example_weights(self, labels: NDArray[np.int64]) -> Array | None:
        """Return v for n labels."""
        return None if self.class_weights is None else self.class_weights[labels]


def plain_objective(n_classes: int, dtype: np.dtype[Any]) -> Objective:
    """Return the objective of an evaluation: the labels as they are, every example counting 1."""
    return Objective(n_classes, np.zeros(1, dtype))


def initial_parameters(configs: Sequence[Config], n_classes: int, d: int) -> tuple[Array, Array]:
    """Return W ~ N(0, initial_std^2), M x O x d, and b = 0, M x O, each model from its seed.

    Raises
    ------
    ConfigError
        The number type cannot hold such weights.
    """
    model = configs[0].model
    n_outputs = n_classes if model.outputs == "per_class" else 1
    W = np.empty((len(configs), n_outputs, d), model.dtype)
    for m, config in enumerate(configs):
        rng = generator(config.training.seed, Stream.INITIAL_WEIGHTS)
        with np.errstate(over="ignore"):
            W[m] = config.model.initial_std * rng.standard_normal((n_outputs, d))
    if not np.isfinite(W).all():
        raise ConfigError(f"model.initial_std: too large for {model.dtype}")
    return W, np.zeros(W.shape[:2], W.dtype)


def training_objective(
    configs: Sequence[Config], dataset: Dataset, dtype: np.dtype[Any]
) -> Objective:
    """Return targets and class weights that the models are trained on."""
    C = dataset.n_classes
    smoothing = np.array([config.label_smoothing for config in configs], dtype)
    if (smoothing == smoothing[0]).all():
        smoothing = smoothing[:1]  # one Y serves all models
    weights = configs[0].training.class_weights
    if weights is None:
        return Objective(C, smoothing)
    if isinstance(weights, str):  # balanced
        labels = dataset.train.own_labels()
        counts = np.bincount(labels, minlength=C)
        values = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        values = np.asarray(weights)
    return Objective(C, smoothing, values.astype(dtype))


def check_against_data(config: Config, dataset: Dataset) -> None:
    """Refuse a config that asks of the data what it has not.

    Raises
    ------
    DataError
        Names the key, what was expected and what was found.
    """
    C, training = dataset.n_classes, config.training
    if config.model.outputs == 1 and C != 2:
        raise DataError(f"model.outputs: 1 is for two classes, the data has {C}")
    if isinstance(training.class_weights, list) and len(training.class_weights) != C:
        raise DataError(
            f"training.class_weights: expected {C} numbers, one a class, "
            f"found {len(training.class_weights)}"
        )
    if training.horizontal_flips and dataset.image_shape is None:
        raise DataError("training.horizontal_flips: expected images, found plain features")
    if training.early_stopping is not None and dataset.validation is None:
        raise DataError("training.early_stopping: expected validation examples, found none")
