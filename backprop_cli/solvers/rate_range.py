"""A learning-rate range test: the loss while the rate rises from step to step.

Smith, "Cyclical Learning Rates for Training Neural Networks", 2017. The rate grows by the same
factor in every step, from far too small to far too large. The loss first stays, then falls, then
runs away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import blas_threads
from backprop_cli.errors import DivergedError
from backprop_cli.solvers.descent import Descent

_RUNS_AWAY = 4.0  # times the smallest smoothed loss
_LIMIT = 100.0  # times the loss of equal scores; beyond it nothing can be learned
_SMOOTHING = 0.95  # per step, of 200
_STEPS = 200


@dataclass(frozen=True)
class RateRange:
    """The outcome.

    Attributes
    ----------
    rates, losses, smoothed
        One number per step that was made: the learning rate, the loss of its mini-batch, and a
        moving average of the losses.
    steepest
        The rate at which the smoothed loss falls fastest per factor of the rate.
    lowest
        The rate at which the smoothed loss is the lowest.
    runs_away
        The rate from which on the loss runs away; None if it did not.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    steepest: float
    lowest: float
    runs_away: float | None


def rate_range(descent: Descent, low: float, high: float, n_steps: int) -> RateRange:
    """Train with a rate that rises from ``low`` to ``high``; the training is used up.

    Parameters
    ----------
    descent
        One model, before its first step. Momentum and batch size are its own.
    low, high
        The first rate, and the last one.
    n_steps
        The number of steps between them.

    Raises
    ------
    DivergedError
        The loss is too large to begin with.
    """
    rates = np.geomspace(low, high, n_steps)
    state, per_epoch = descent.state, descent.steps_per_epoch
    loss = descent.settings.models[0].loss
    limit = np.array([_LIMIT * loss.at_equal_scores(descent.dataset.n_classes)])
    if not descent.engine.prepare():
        descent.engine.wait()
    found: list[float] = []
    with blas_threads(descent.threads), np.errstate(all="ignore"):
        for first in range(0, n_steps, per_epoch):
            some = rates[first : first + per_epoch, None].astype(state.W.dtype)
            batches = descent.plan.epoch(first // per_epoch).some(0, len(some))
            made, losses = descent.steps(state, batches, some, limit)
            found += [float(value) for value in losses[:made, 0]]
            if made < len(some):
                break
    if not found:
        raise DivergedError(
            f"the loss is beyond {limit[0]:.3g} before the first step, whatever the rate: try a "
            "smaller model.initial_std, or standardize the features"
        )
    return _read(rates, np.array(found))


def _read(rates: NDArray[np.float64], losses: NDArray[np.float64]) -> RateRange:
    """Return what the losses say."""
    made = len(losses)
    kept = _SMOOTHING ** (_STEPS / len(rates))
    average, smoothed = 0.0, np.empty(made)
    for k, value in enumerate(losses):
        average = kept * average + (1 - kept) * value
        smoothed[k] = average / (1 - kept ** (k + 1))
    if made < 3:
        return RateRange(rates[:made], losses, smoothed, rates[0], rates[0], float(rates[made]))
    lowest = int(np.argmin(smoothed))
    slopes = np.gradient(smoothed, np.log(rates[:made]))
    steepest = int(np.argmin(slopes[: lowest + 1])) if lowest else 0
    after = np.flatnonzero(smoothed[lowest:] > _RUNS_AWAY * smoothed[lowest])
    away: float | None = float(rates[made]) if made < len(rates) else None
    if len(after):
        away = float(rates[lowest + after[0]])
    return RateRange(
        rates[:made], losses, smoothed, float(rates[steepest]), float(rates[lowest]), away
    )
