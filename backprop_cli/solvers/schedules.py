"""Learning-rate schedules: the rate of every step of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rates = NDArray[np.float64]
Steps = NDArray[np.int64]


class Schedule(Protocol):
    """How the learning rate moves."""

    def rates(self, eta: float, steps: Steps, steps_per_epoch: int, total: int) -> Rates:
        """Return the learning rate of each step.

        Parameters
        ----------
        eta
            The learning rate; the highest of the schedule.
        steps
            Step numbers from the start of the run, from 0.
        steps_per_epoch, total
            How many steps an epoch and the run have.
        """
        ...


@dataclass(frozen=True)
class Constant:
    """Keep eta."""

    def rates(self, eta: float, steps: Steps, steps_per_epoch: int, total: int) -> Rates:
        """Return eta for every step."""
        return np.full(len(steps), eta)


@dataclass(frozen=True)
class StepDecay:
    """Multiply eta by ``factor`` after every ``every`` epochs."""

    every: int
    factor: float

    def rates(self, eta: float, steps: Steps, steps_per_epoch: int, total: int) -> Rates:
        """Return eta factor^floor(epoch / every)."""
        drops = steps // steps_per_epoch // self.every
        return np.asarray(eta * self.factor ** drops.astype(np.float64))


@dataclass(frozen=True)
class Cosine:
    """Fall from eta to ``minimum`` along half a cosine (Loshchilov and Hutter, 2017)."""

    minimum: float

    def rates(self, eta: float, steps: Steps, steps_per_epoch: int, total: int) -> Rates:
        """Return minimum + (eta - minimum) (1 + cos(pi t / T)) / 2 at step t of T."""
        fall = (1.0 + np.cos(np.pi * (steps / total))) / 2.0
        return np.asarray(self.minimum + (eta - self.minimum) * fall)


@dataclass(frozen=True)
class Cyclical:
    """Go from ``minimum`` up to eta in ``half_cycle`` steps and back; Smith (2017)."""

    minimum: float
    half_cycle: int

    def rates(self, eta: float, steps: Steps, steps_per_epoch: int, total: int) -> Rates:
        """Return triangles between minimum and eta."""
        position = steps % (2 * self.half_cycle) / self.half_cycle  # 0 to 2
        rise = 1.0 - np.abs(position - 1.0)
        return np.asarray(self.minimum + (eta - self.minimum) * rise)
