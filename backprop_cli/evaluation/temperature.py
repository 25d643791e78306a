"""Temperature scaling: one number that calibrates probabilities without changing a decision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import ConfigError

MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e6
"""The range in which a temperature is looked for."""
_MOST_SCORES = 1_000_000  # that are computed with at once


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
    n, at_once = len(scores), max(1, _MOST_SCORES // scores.shape[1])
    blocks = [scores[first : first + at_once] for first in range(0, n, at_once)]
    largest = scores.max(axis=1).astype(np.float64)
    mean_true_score = (scores[np.arange(n), labels] - largest).mean()

    def loss(log_temperature: float) -> float:
        beta, total, first = math.exp(-log_temperature), 0.0, 0
        for block in blocks:  # in float64, of which there may not be room for all
            shifted = block - largest[first : first + len(block), None]
            total += float(np.log(np.exp(beta * shifted).sum(axis=1)).sum())
            first += len(block)
        return total / n - beta * float(mean_true_score)

    found = minimize_scalar(
        loss,
        bounds=(math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return math.exp(float(found.x))
