"""A trained classifier as two arrays that take features as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import ConfigError
from backprop_cli.model import LinearModel


@dataclass(frozen=True, eq=False)
class RawClassifier:
    """Scores S = X weights^T + bias, decisions arg max S, probabilities SoftMax(S).

    Attributes
    ----------
    weights, bias
        C x d and C, float64. Standardization and temperature are folded in.
    class_names
        C names.
    image_shape
        (channels, height, width), or None. The features of an image are its channel planes.
    loss
        The loss that it was trained with.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    loss: str

    @property
    def features(self) -> str:
        """What a row of features is, in words."""
        d = self.weights.shape[1]
        if self.image_shape is None:
            return f"{d} features as they are, not standardized"
        channels, height, width = self.image_shape
        return (
            f"the {d} numbers of an image, not standardized: {channels} planes of {height} x "
            f"{width} pixels, one after the other"
        )

    def float32(self, to: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weights and bias in float32, for a format.

        Raises
        ------
        ConfigError
            One of them is beyond the range of float32.
        """
        with np.errstate(over="ignore"):
            weights, bias = self.weights.astype(np.float32), self.bias.astype(np.float32)
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise ConfigError(
                f"export --to {to}: on raw features the model has weights that are too large for "
                "float32; --to numpy, sklearn and onnx keep float64"
            )
        return weights, bias


def raw_classifier(model: LinearModel, temperature: float = 1.0) -> RawClassifier:
    """Return a model with standardization and temperature folded into weights and bias.

    A classifier with one score s gets two, -s/2 and s/2.

    Raises
    ------
    ConfigError
        On raw features its weights are beyond the range of float64.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        weights, bias = model.on_raw_features()
        weights, bias = weights / temperature, bias / temperature
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise ConfigError(
            "export: on raw features the model has weights that are too large for float64; look at "
            "its weights and standard deviations"
        )
    if len(weights) == 1:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return RawClassifier(
        weights,
        bias,
        model.class_names,
        model.image_shape,
        model.loss,
    )
