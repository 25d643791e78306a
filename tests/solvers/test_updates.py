"""The update rule against its definition on numbers small enough to follow by hand."""

import numpy as np
import pytest

from backprop_cli.solvers.updates import descend, new_state


def run(momentum, nesterov, gradients, rates):
    """Feed gradients of one number to M models; return W after each step, steps x M."""
    M = len(momentum)
    state = new_state(
        np.ones((M, 2, 1)), np.zeros((M, 2)),
        momentum=np.array(momentum), nesterov=np.array(nesterov), l2=np.zeros(M),
    )  # fmt: skip
    path = []
    for gradient, rate in zip(gradients, rates, strict=True):
        descend(state, np.full((M, 2, 1), gradient), np.full((M, 2), gradient), np.full(M, rate))
        path.append(state.W[:, 0, 0].copy())
        np.testing.assert_allclose(state.b[:, 0], state.W[:, 0, 0] - 1.0, rtol=1e-14)
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


def test_without_momentum_there_is_no_velocity():
    assert run([0.0, 0.0], [False, False], [1.0, 2.0], [0.1, 0.1])[-1] == pytest.approx(0.7)
    W, b = np.ones((2, 3, 4)), np.zeros((2, 3))
    state = new_state(W, b, np.zeros(2), np.zeros(2, bool), np.zeros(2))
    assert state.velocity_W.shape == (0, 3, 4)
    assert state.velocity_b.shape == (0, 3)


def test_the_rate_applies_after_the_velocity():
    """V does not depend on eta: a rate of 0 delays a step and does not lose it."""
    path = run([0.5], [False], [1.0, 0.0], [0.0, 0.1])
    assert path[:, 0] == pytest.approx([1.0, 0.95], rel=1e-14)
