"""The update rule: gradient descent with momentum, for M models at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backprop_cli.engine import Array, BatchEngine


class GradientDescent:
    """Move W and b against their gradients, in place.

    Without momentum, W <- W - eta dW. With momentum rho (heavy ball, Polyak 1964)::

        V <- rho V + dW
        W <- W - eta V                  or, after Nesterov, W <- W - eta (dW + rho V)

    Parameters
    ----------
    engine
        Its W and b are changed; its dW and db are read, and overwritten.
    momentum
        rho of each model, M numbers.
    nesterov
        Whether each model looks ahead, M truth values.

    Attributes
    ----------
    velocity_W, velocity_b
        V of W and of b, of their shapes; empty if no model has momentum.
    """

    def __init__(
        self, engine: BatchEngine, momentum: Sequence[float], nesterov: Sequence[bool]
    ) -> None:
        self.momentum = np.asarray(momentum, engine.W.dtype)
        self.nesterov = np.asarray(nesterov, bool)
        self._rules = [
            _Rule(engine.W, engine.dW, self.momentum, self.nesterov),
            _Rule(engine.b, engine.db, self.momentum, self.nesterov),
        ]
        self.velocity_W, self.velocity_b = (rule.velocity for rule in self._rules)

    def reset(self, model: int) -> None:
        """Set one model's parameters, gradients and velocities to zero."""
        for rule in self._rules:
            rule.reset(model)

    def step(self, learning_rates: Array) -> None:
        """Make one step; ``learning_rates`` holds eta of each model: M numbers of W's dtype."""
        for rule in self._rules:
            rule.step(learning_rates)


class _Rule:
    """The update of one parameter, W or b."""

    def __init__(self, value: Array, gradient: Array, rho: Array, ahead: Array) -> None:
        self.value, self.gradient = value, gradient
        self._column = (-1,) + (1,) * (value.ndim - 1)  # M numbers, one a model
        self._moves = bool(rho.any())
        self.velocity = np.zeros_like(value if self._moves else value[:0])
        if self._moves:
            self._scratch = np.empty_like(value)
            self._rho = rho.reshape(self._column)
            # eta multiplies (gradient share) dW + (velocity share) V
            self._gradient_share = ahead.astype(value.dtype).reshape(self._column)
            self._velocity_share = np.where(ahead, rho, 1).reshape(self._column)

    def reset(self, model: int) -> None:
        self.value[model] = self.gradient[model] = 0
        if self._moves:
            self.velocity[model] = 0

    def step(self, learning_rates: Array) -> None:
        gradient = self.gradient
        if self._moves:
            self.velocity *= self._rho
            self.velocity += gradient
            gradient *= self._gradient_share
            gradient += np.multiply(self.velocity, self._velocity_share, out=self._scratch)
        gradient *= learning_rates.reshape(self._column)
        self.value -= gradient
