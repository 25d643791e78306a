"""Learning-rate schedules: the rate of every step of a run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.schema import (
    ConstantSchedule,
    CosineSchedule,
    CyclicalSchedule,
    StepSchedule,
    Training,
)


def learning_rates(
    training: Training, steps: NDArray[np.int64], steps_per_epoch: int
) -> NDArray[np.float64]:
    """Return the learning rate of each step.

    Parameters
    ----------
    training
        Its ``learning_rate`` (eta) and ``schedule``.
    steps
        Step numbers from the start of the run, from 0.
    steps_per_epoch
        How many steps an epoch has.

    Notes
    -----
    - constant: eta.
    - step: eta * factor^floor(epoch / every).
    - cosine: minimum + (eta - minimum) (1 + cos(pi t / T)) / 2 at step t of T; Loshchilov and
      Hutter, 2017, without restarts.
    - cyclical: triangles between minimum and eta; Smith, 2017: from minimum at step 0 to eta at
      step ``half_cycle`` and back.
    """
    eta, schedule = training.learning_rate, training.schedule
    if isinstance(schedule, ConstantSchedule):
        return np.full(len(steps), eta)
    if isinstance(schedule, StepSchedule):
        drops = steps // steps_per_epoch // schedule.every
        return np.asarray(eta * schedule.factor ** drops.astype(np.float64))
    if isinstance(schedule, CosineSchedule):
        progress = steps / (training.epochs * steps_per_epoch)
        fall = (1.0 + np.cos(np.pi * progress)) / 2.0
        return np.asarray(schedule.minimum + (eta - schedule.minimum) * fall)
    if isinstance(schedule, CyclicalSchedule):
        position = steps % (2 * schedule.half_cycle) / schedule.half_cycle  # 0 to 2
        rise = 1.0 - np.abs(position - 1.0)
        return np.asarray(schedule.minimum + (eta - schedule.minimum) * rise)
    raise TypeError(f"no such schedule: {type(schedule).__name__}")
