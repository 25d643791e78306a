"""Learning rates against closed forms and known points."""

import math

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.solvers.schedules import learning_rates


def rates(schedule, *, epochs=10, eta=0.5, steps_per_epoch=4, steps=40):
    text = (
        f"data: {{format: synthetic}}\n"
        f"training: {{epochs: {epochs}, learning_rate: {eta}, schedule: {schedule}}}"
    )
    training = check_config(text, "test").training
    return learning_rates(training, np.arange(steps), steps_per_epoch)


def test_constant():
    assert rates("{kind: constant}").tolist() == [0.5] * 40


def test_step_drops_at_epoch_ends():
    found = rates("{kind: step, every: 3, factor: 0.1}")
    expected = [0.5] * 12 + [0.05] * 12 + [0.005] * 12 + [0.0005] * 4
    assert found == pytest.approx(expected, rel=1e-14)


def test_cosine_starts_at_eta_is_halfway_in_the_middle_and_nears_the_minimum():
    found = rates("{kind: cosine, minimum: 0.1}")
    assert found[0] == 0.5
    assert found[20] == pytest.approx(0.3, rel=1e-14)
    assert found[39] == pytest.approx(0.1 + 0.4 * (1 + math.cos(math.pi * 39 / 40)) / 2, rel=1e-14)
    assert (np.diff(found) < 0).all()


def test_cyclical_is_a_triangle():
    found = rates("{kind: cyclical, minimum: 0.1, half_cycle: 4}")
    cycle = [0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2]
    assert found == pytest.approx(cycle * 5, rel=1e-14)
