"""What a config and its data make of the engine: targets, class weights, the starting point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config
from backprop_cli.datasets import Dataset
from backprop_cli.engine import Array, target_table
from backprop_cli.errors import DataError
from backprop_cli.rng import Stream, generator


@dataclass(frozen=True)
class Objective:
    """Targets and weights of a loss.

    Attributes
    ----------
    table
        The target of every label, M x C x C or 1 x C x C (`target_table`).
    class_weights
        A factor on the loss of each class, C, or None for 1.
    """

    table: Array
    class_weights: Array | None = None

    def targets(self, labels: NDArray[np.int64], out: Array) -> Array:
        """Return Y for n labels, within ``out`` (flat, at least M C n)."""
        M, C, _ = self.table.shape
        Y = out[: M * C * len(labels)].reshape(M, C, len(labels))
        np.take(self.table, labels, axis=2, out=Y, mode="clip")  # labels are checked
        return Y

    def example_weights(self, labels: NDArray[np.int64]) -> Array | None:
        """Return v for n labels."""
        return None if self.class_weights is None else self.class_weights[labels]


def plain_objective(n_classes: int, dtype: np.dtype[Any]) -> Objective:
    """Return the objective of an evaluation: the labels as they are, every example counting 1."""
    return Objective(target_table(n_classes, [0.0], dtype))


def initial_parameters(configs: Sequence[Config], n_classes: int, d: int) -> tuple[Array, Array]:
    """Return W ~ N(0, initial_std^2), M x O x d, and b = 0, M x O, each model from its seed."""
    model = configs[0].model
    n_outputs = n_classes if model.outputs == "per_class" else 1
    W = np.empty((len(configs), n_outputs, d), model.dtype)
    for m, config in enumerate(configs):
        rng = generator(config.training.seed, Stream.INITIAL_WEIGHTS)
        W[m] = config.model.initial_std * rng.standard_normal((n_outputs, d))
    return W, np.zeros(W.shape[:2], W.dtype)


def training_objective(
    configs: Sequence[Config], dataset: Dataset, dtype: np.dtype[Any]
) -> Objective:
    """Return targets and class weights that the models are trained on."""
    table = target_table(dataset.n_classes, [c.label_smoothing for c in configs], dtype)
    if len(np.unique(table, axis=0)) == 1:
        table = table[:1]  # one Y serves all models
    weights = configs[0].training.class_weights
    if weights is None:
        return Objective(table)
    C = dataset.n_classes
    if isinstance(weights, str):  # balanced
        labels = dataset.train.own_labels()
        counts = np.bincount(labels, minlength=C)
        values = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        values = np.asarray(weights)
    return Objective(table, values.astype(dtype))


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
