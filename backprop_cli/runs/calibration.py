"""Temperature scaling: one number that makes probabilities fit, and changes no decision."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.atomic import write_atomically
from backprop_cli.errors import ConfigError, ModelFileError
from backprop_cli.runs.run_directory import model_digest

FILE_NAME = "calibration.json"
_LOWEST, _HIGHEST = 1e-3, 1e6  # of the temperature


def fit_temperature(scores: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """Return T that minimizes the mean of -log SoftMax(s / T)_y.

    Guo et al., 2017, section 4.2; by Brent's method over log T, as scipy has it. The loss is
    convex in 1 / T, so that the minimum is the only one.

    Parameters
    ----------
    scores
        n x C.
    labels
        n.

    Raises
    ------
    ConfigError
        scipy is not installed.
    """
    try:
        from scipy.optimize import minimize_scalar
    except ImportError as error:
        raise ConfigError(
            "calibrate needs scipy, found none: install backprop-cli[calibrate]"
        ) from error
    S = scores.astype(np.float64)
    S -= S.max(axis=1, keepdims=True)
    of_truth = S[np.arange(len(S)), labels].mean()

    def loss(log_temperature: float) -> float:
        beta = math.exp(-log_temperature)
        return float(np.log(np.exp(beta * S).sum(axis=1)).mean() - beta * of_truth)

    found = minimize_scalar(
        loss, bounds=(math.log(_LOWEST), math.log(_HIGHEST)), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    return math.exp(float(found.x))


def save_calibration(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Write a run's calibration."""
    write_atomically(path / FILE_NAME, (json.dumps(content, indent=2) + "\n").encode())


def load_temperature(path: pathlib.Path) -> float | None:
    """Return a run's temperature, or None if it was not calibrated.

    Raises
    ------
    ModelFileError
        The file is broken, or of another model than the run has now.
    """
    file = path / FILE_NAME
    try:
        content = json.loads(file.read_text("utf-8"))
        value, model = content["temperature"], content["model_sha256"]
        if isinstance(value, bool) or not _LOWEST / 2 <= value <= 2 * _HIGHEST:
            raise ValueError(f"temperature {value}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelFileError(f"{file}: expected a temperature: {error}") from error
    if model != model_digest(path):
        raise ModelFileError(
            f"{file}: fitted to another model than the run has now; "
            "backprop calibrate fits it again, or remove the file"
        )
    return float(value)
