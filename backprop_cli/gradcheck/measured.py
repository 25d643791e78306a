"""What the engine under test says of a mini-batch: value, gradients, and a step of descent."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from backprop_cli.engine import DescentState, blas_threads
from backprop_cli.losses import Array, Vector
from backprop_cli.objective import Objective
from backprop_cli.plan import Batches
from backprop_cli.solvers.descent import Descent
from backprop_cli.sources import to_planes


@dataclass(frozen=True)
class Step:
    """One step of descent, from a state with some velocity.

    Attributes
    ----------
    moved
        By how much W and b have moved, by name.
    velocity, velocity_after
        V of W and of b before the step and after it, by name; none without momentum.
    rate, momentum
        eta and rho.
    nesterov
        Whether the step looks ahead.
    """

    moved: dict[str, Vector]
    velocity: dict[str, Vector]
    velocity_after: dict[str, Vector]
    rate: float
    momentum: float
    nesterov: bool

    def expected(self, gradient: dict[str, Vector]) -> tuple[dict[str, Vector], dict[str, Vector]]:
        """Return by how much W and b should have moved against a gradient, and V after the step.

        V <- rho V + dJ/dW, then W moves by -eta V, or after Nesterov by -eta (dJ/dW + rho V).
        """
        moved, velocity = {}, {}
        for name, g in gradient.items():
            V = g
            if self.velocity:
                V = velocity[name] = self.momentum * self.velocity[name] + g
            moved[name] = -self.rate * (g + self.momentum * V if self.nesterov else V)
        return moved, velocity


@dataclass(frozen=True)
class Measured:
    """What an engine computes, for the first model.

    Attributes
    ----------
    loss, step_loss, evaluated_loss
        L as it comes with the gradient, as a step returns it, and as an evaluation has it (without
        mirroring).
    cost_value
        J.
    decisions
        The decision for each example (without mirroring), n.
    data_term, cost
        dL/dW and dL/db, dJ/dW and dJ/db, by name.
    step
        One step of descent, as training makes it.
    """

    loss: float
    step_loss: float
    evaluated_loss: float
    cost_value: float
    decisions: Vector
    data_term: dict[str, Vector]
    cost: dict[str, Vector]
    step: Step


def measure(descent: Descent, batches: Batches) -> Measured:
    """Run the engine of a training on one mini-batch, through all that training does with it."""
    engine, state, objective = descent.engine, descent.state, descent.objective
    block = batches.batch(0)
    if not engine.prepare():
        engine.wait()
    with blas_threads(descent.threads), np.errstate(over="ignore", invalid="ignore"):
        sums = engine.sums(state.W, state.b, block)
        loss = float(objective.loss(sums)[0])
        cost_value = loss + float(objective.penalty(state.W)[0])
        apart = sums._replace(dW=sums.dW.copy(), db=sums.db.copy())
        without_penalty = Objective(np.zeros_like(state.l2))
        data_term = _named(descent, *without_penalty.gradient(apart, state.W))
        cost = _named(descent, *objective.gradient(sums, state.W))
        plain = block._replace(mirrored=None)
        outcomes = engine.outcomes(state.W, state.b, plain, descent.targets)
        losses, decisions = outcomes.losses[0], outcomes.decisions[0].astype(np.float64)
        weights = descent.targets.example_weights(block)
        if weights is not None:
            losses = losses * weights
        evaluated = float(losses.mean(dtype=np.float64))
        step_loss, step = _step(descent, batches, cost)
        return Measured(loss, step_loss, evaluated, cost_value, decisions, data_term, cost, step)


def _step(descent: Descent, batches: Batches, gradient: dict[str, Vector]) -> tuple[float, Step]:
    """Make one step, and return its loss too; the rate moves W by about its own size.

    So rounding W after the step costs few of the digits that are compared.
    """
    state = copy.deepcopy(descent.state)
    size = max(float(np.abs(g).max()) for g in gradient.values()) or 1.0
    rate = np.float32((float(np.abs(state.W).max()) or 1.0) / size)
    rng = np.random.default_rng(0)
    for array in (state.velocity_W, state.velocity_b):
        array[...] = size * rng.standard_normal(array.shape)
    velocity = _velocity(descent, state)
    before = _named(descent, state.W, state.b)
    rates = np.full((1, len(state.W)), rate, state.W.dtype)
    _, losses = descent.steps(state, batches, rates, np.full(len(state.W), np.inf))
    after = _named(descent, state.W, state.b)
    return float(losses[0, 0]), Step(
        {name: after[name] - before[name] for name in after},
        velocity,
        _velocity(descent, state),
        float(rate),
        float(state.momentum[0]),
        bool(state.nesterov[0]),
    )


def _velocity(descent: Descent, state: DescentState) -> dict[str, Vector]:
    """Return V of W and of b by name; nothing without momentum."""
    if not len(state.velocity_W):
        return {}
    return _named(descent, state.velocity_W, state.velocity_b)


def _named(descent: Descent, weights: Array, bias: Array) -> dict[str, Vector]:
    """Return what belongs to W and b of the first model, in float64 and channel planes."""
    planes = to_planes(descent.dataset.image, weights[0])
    return {"W": planes.astype(np.float64), "b": bias[0].astype(np.float64)}
