"""Temperature scaling: one number that calibrates probabilities without changing a decision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import ConfigError

MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e6
"""The range in which a temperature is looked for."""


def fit_temperature(scores: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """Return the T that minimizes the mean of -log SoftMax(s / T)_y.

    See Guo et al., 2017, section 4.2. The minimum is found by scipy's bounded Brent method over
    log T; it is unique, because the loss is convex in 1 / T.

    Parameters
    ----------
    scores
        Scores of n examples, n x C.
    labels
        Their n labels.

    Raises
    ------
    ConfigError
        If scipy is not installed.
    """
    try:
        from scipy.optimize import minimize_scalar
    except ImportError as error:
        raise ConfigError(
            "calibrate needs scipy, found none: install backprop-cli[calibrate]"
        ) from error
    scores = scores.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    mean_true_score = scores[np.arange(len(scores)), labels].mean()

    def loss(log_temperature: float) -> float:
        beta = math.exp(-log_temperature)
        return float(np.log(np.exp(beta * scores).sum(axis=1)).mean() - beta * mean_true_score)

    found = minimize_scalar(
        loss,
        bounds=(math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return math.exp(float(found.x))
