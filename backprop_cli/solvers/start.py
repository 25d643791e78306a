"""What training starts from: weights, targets, and whether the data has what is asked of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Targets, Task
from backprop_cli.errors import ConfigError, DataError
from backprop_cli.losses import Array
from backprop_cli.rng import Stream, generator
from backprop_cli.settings import Settings
from backprop_cli.sources import Dataset, Source, Split, Standardization, from_planes


def initial_parameters(settings: Settings, dataset: Dataset) -> tuple[Array, Array]:
    """Return W ~ N(0, initial_std^2), M x O x d, and b = 0, M x O, each model from its seed.

    Raises
    ------
    ConfigError
        The number type cannot hold such weights.
    """
    n_outputs = 1 if settings.single_output else dataset.n_classes
    W = np.empty((len(settings.models), n_outputs, dataset.n_features), settings.dtype)
    for m, model in enumerate(settings.models):
        rng = generator(model.seed, Stream.INITIAL_WEIGHTS)
        with np.errstate(over="ignore"):
            drawn = model.initial_std * rng.standard_normal(W.shape[1:])
            W[m] = from_planes(dataset.image, drawn)
    if not np.isfinite(W).all():
        raise ConfigError(f"model.initial_std: too large for {settings.dtype}")
    return W, np.zeros(W.shape[:2], W.dtype)


def training_targets(settings: Settings, dataset: Dataset) -> Targets:
    """Return the targets and class weights that the models are trained on."""
    dtype: np.dtype[Any] = np.dtype(settings.dtype)
    C = dataset.n_classes
    smoothing = np.array([model.label_smoothing for model in settings.models], dtype)
    if (smoothing == smoothing[0]).all():
        smoothing = smoothing[:1]  # one Y serves all models
    weights = settings.class_weights
    if weights is None:
        return Targets(C, smoothing)
    if isinstance(weights, str):  # balanced
        labels = dataset.train.own_labels()
        counts = np.bincount(labels, minlength=C)
        balanced = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return Targets(C, smoothing, balanced.astype(dtype))
    return Targets(C, smoothing, np.asarray(weights, np.float64).astype(dtype))


def make_task(
    settings: Settings,
    dataset: Dataset,
    standardization: Standardization,
    *,
    batch_size: int,
    threads: int,
) -> Task:
    """Return what an engine has to compute to train these models."""
    validation = [] if dataset.validation is None else [dataset.validation]
    return Task(
        losses=tuple(model.loss for model in settings.models),
        targets=training_targets(settings, dataset),
        n_outputs=1 if settings.single_output else dataset.n_classes,
        standardization=standardization,
        splits=(dataset.train, *validation),
        dtype=np.dtype(settings.dtype),
        batch_size=batch_size,
        threads=threads,
    )


def check_against_data(settings: Settings, dataset: Dataset) -> None:
    """Refuse settings that ask of the data what it does not have.

    Raises
    ------
    DataError, ConfigError
        Names the setting, what was expected and what was found.
    """
    for split in dataset.splits():
        _check_split(split, dataset)
    for model in settings.models:
        if model.label_smoothing > 0 and not model.loss.takes_soft_targets:
            raise ConfigError(f"label_smoothing: {model.loss.name} takes one-hot targets only")
    C, weights = dataset.n_classes, settings.class_weights
    if settings.single_output and C != 2:
        raise DataError(f"model.outputs: 1 is for two classes, the data has {C}")
    if weights is not None and not isinstance(weights, str) and len(weights) != C:
        raise DataError(
            f"training.class_weights: expected {C} numbers, one per class, found {len(weights)}"
        )


def _check_example_weights(source: Source, weights: NDArray[np.float64]) -> None:
    if weights.shape != (len(source),) or weights.dtype != np.float64:
        raise DataError(
            f"{source.name}: example_weights: expected {len(source)} numbers of float64, "
            f"found {' x '.join(map(str, weights.shape))} of {weights.dtype}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError(f"{source.name}: example_weights: expected finite numbers >= 0")


def _check_split(split: Split, dataset: Dataset) -> None:
    """Refuse rows, labels and features that engines, which do not check, could not take."""
    source, C = split.source, dataset.n_classes
    if len(source.labels) != len(source):
        raise DataError(f"{source.name}: {len(source)} examples but {len(source.labels)} labels")
    if source.example_weights is not None:
        _check_example_weights(source, source.example_weights)
    if not len(split):
        raise DataError(f"{source.name}: expected examples, found a split without rows")
    if split.rows.min() < 0 or split.rows.max() >= len(source):
        raise DataError(f"{source.name}: expected rows 0 to {len(source) - 1} in a split")
    labels = split.own_labels()
    if labels.min() < 0 or labels.max() >= C:
        raise DataError(
            f"{source.name}: labels from {labels.min()} to {labels.max()}, expected 0 to {C - 1} "
            f"({C} classes)"
        )
    image, d = dataset.image, source.features.shape[1]
    if source.image is not None and math.prod(source.image.shape) != d:
        shape = " x ".join(map(str, source.image.shape))
        raise DataError(f"{source.name}: expected images of {shape} numbers, found {d} features")
    alike = source.image == image or (
        source.image is None and (image is None or not image.interleaved)
    )
    if d != dataset.n_features or not alike:
        raise DataError(
            f"{source.name}: expected examples of the same size and image layout as those of "
            f"{dataset.train.source.name}"
        )
