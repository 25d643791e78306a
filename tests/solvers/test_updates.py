"""The update rule against its definition on numbers small enough to follow by hand."""

import numpy as np
import pytest

from backprop_cli.engine import BatchEngine
from backprop_cli.solvers.updates import GradientDescent


def run(momentum, nesterov, gradients, rates):
    """Feed gradients of one number to M models; return W after each step, steps x M."""
    M = len(momentum)
    engine = BatchEngine(
        np.ones((M, 2, 1)),
        np.zeros((M, 2)),
        losses=["multiclass_svm"] * M,
        l2=[0.0] * M,
        n_classes=2,
        batch_size=1,
    )
    update = GradientDescent(engine, momentum, nesterov)
    path = []
    for gradient, rate in zip(gradients, rates, strict=True):
        engine.dW[...] = gradient
        engine.db[...] = gradient
        update.step(np.full(M, rate))
        path.append(engine.W[:, 0, 0].copy())
        np.testing.assert_allclose(engine.b[:, 0], engine.W[:, 0, 0] - 1.0, rtol=1e-14)
    return np.array(path)


def test_plain_momentum_and_nesterov_by_hand():
    """eta = 0.1, rho = 0.5, gradients 1, 2, 4.

    V: 1, 2.5, 5.25. Plain: 1 - .1 - .2 - .4. Momentum: 1 - .1 - .25 - .525.
    Nesterov, dW + rho V: 1.5, 3.25, 6.625.
    """
    path = run([0.0, 0.5, 0.5], [False, False, True], [1.0, 2.0, 4.0], [0.1] * 3)
    assert path[:, 0] == pytest.approx([0.9, 0.7, 0.3], rel=1e-14)
    assert path[:, 1] == pytest.approx([0.9, 0.65, 0.125], rel=1e-14)
    assert path[:, 2] == pytest.approx([0.85, 0.525, -0.1375], rel=1e-14)


def test_the_rate_applies_after_the_velocity():
    """V does not depend on eta: a rate of 0 delays a step and does not lose it."""
    path = run([0.5], [False], [1.0, 0.0], [0.0, 0.1])
    assert path[:, 0] == pytest.approx([1.0, 0.95], rel=1e-14)
