"""The update rule: gradient descent with momentum, for M models at once.

Without momentum, W <- W - eta dW. With momentum rho (heavy ball, Polyak 1964)::

    V <- rho V + dW
    W <- W - eta V                  or, after Nesterov, W <- W - eta (dW + rho V)
"""

from __future__ import annotations

import numpy as np

from backprop_cli.engine import DescentState
from backprop_cli.losses import Array


def new_state(W: Array, b: Array, momentum: Array, nesterov: Array, l2: Array) -> DescentState:
    """Return the state before the first step; ``momentum``, ``nesterov`` and ``l2`` are per model.

    W and b are changed in place from then on.
    """
    moves = bool(np.any(momentum))
    return DescentState(
        W=W,
        b=b,
        velocity_W=np.zeros_like(W if moves else W[:0]),
        velocity_b=np.zeros_like(b if moves else b[:0]),
        momentum=np.asarray(momentum, W.dtype),
        nesterov=np.asarray(nesterov, np.bool_),
        l2=np.asarray(l2, W.dtype),
    )


def descend(state: DescentState, dW: Array, db: Array, rates: Array) -> None:
    """Make one step against a gradient, whose memory is used up.

    Parameters
    ----------
    state
        Changed in place.
    dW, db
        dJ/dW and dJ/db, M x O x d and M x O.
    rates
        eta of each model, M numbers of W's dtype.
    """
    _descend(state, state.W, state.velocity_W, dW, rates)
    _descend(state, state.b, state.velocity_b, db, rates)


def _descend(
    state: DescentState, value: Array, velocity: Array, gradient: Array, rates: Array
) -> None:
    """Move W or b."""
    column = (-1,) + (1,) * (value.ndim - 1)  # M numbers, one per model
    if len(velocity):
        rho = state.momentum.reshape(column)
        ahead = state.nesterov.reshape(column)
        velocity *= rho
        velocity += gradient
        # W moves by eta ((gradient share) dW + (velocity share) V)
        gradient *= ahead
        gradient += velocity * np.where(ahead, rho, 1).astype(value.dtype)
    gradient *= rates.reshape(column)
    value -= gradient
