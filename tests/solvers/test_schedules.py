"""Learning rates against closed forms and known points."""

import math

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.config.convert import descent_of
from backprop_cli.solvers.schedules import Constant, Cosine, Cyclical, StepDecay
from tests.make import job


def rates(schedule, *, epochs=10, eta=0.5, steps_per_epoch=4):
    """Return the rates of all steps of a run."""
    _, solver = job(schedule=schedule, learning_rate=eta, epochs=epochs)
    return np.concatenate([solver.rates(epoch, steps_per_epoch)[:, 0] for epoch in range(epochs)])


def test_constant():
    assert rates(Constant()).tolist() == [0.5] * 40


def test_step_drops_at_epoch_ends():
    found = rates(StepDecay(every=3, factor=0.1))
    expected = [0.5] * 12 + [0.05] * 12 + [0.005] * 12 + [0.0005] * 4
    assert found == pytest.approx(expected, rel=1e-14)


def test_cosine_starts_at_eta_is_halfway_in_the_middle_and_nears_the_minimum():
    found = rates(Cosine(minimum=0.1))
    assert found[0] == 0.5
    assert found[20] == pytest.approx(0.3, rel=1e-14)
    assert found[39] == pytest.approx(0.1 + 0.4 * (1 + math.cos(math.pi * 39 / 40)) / 2, rel=1e-14)
    assert (np.diff(found) < 0).all()


def test_cyclical_is_a_triangle():
    found = rates(Cyclical(minimum=0.1, half_cycle=4))
    cycle = [0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2]
    assert found == pytest.approx(cycle * 5, rel=1e-14)


def test_every_model_has_a_schedule_of_its_own():
    _, solver = job({"schedule": StepDecay(1, 0.5)}, {"learning_rate": 3.0}, learning_rate=1.0)
    np.testing.assert_array_equal(solver.rates(1, 2), [[0.5, 3.0], [0.5, 3.0]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{kind: constant}", Constant()),
        ("{kind: step, every: 3, factor: 0.1}", StepDecay(3, 0.1)),
        ("{kind: cosine, minimum: 0.1}", Cosine(0.1)),
        ("{kind: cyclical, minimum: 0.1, half_cycle: 4}", Cyclical(0.1, 4)),
    ],
)
def test_a_config_names_each_of_them(text, expected):
    config = check_config(
        "data: {format: synthetic}\n"
        f"training: {{epochs: 10, learning_rate: 0.5, momentum: 0.9, schedule: {text}}}",
        "test",
    )
    rule = descent_of([config]).rules[0]
    assert (rule.schedule, rule.learning_rate, rule.momentum) == (expected, 0.5, 0.9)
