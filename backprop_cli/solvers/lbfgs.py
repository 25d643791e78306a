"""L-BFGS for one model: where to evaluate the cost next, and what to do with what is found.

It does not evaluate the cost itself, so that many models can share every pass over the data. W and
b are one array here, theta = [W | b], O x (d + 1) in float64, and so is the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from backprop_cli.communicator import Serial
from backprop_cli.losses import Vector

T = TypeVar("T")

_ALONE = Serial()

_MIN_MEMORY, _MAX_MEMORY = 6, 30  # steps that are remembered
_MEMORY_NUMBERS = 10_000_000  # what they may take, if they are more than the fewest
_DECREASE, _CURVATURE = 1e-4, 0.9  # the weak Wolfe conditions (Nocedal and Wright, 2006, eq. 3.6)
_MAX_TRIALS = 20  # of one search
_BIAS_COUNTS = 10.0  # b's gradient, against W's: the bias must be stationary at a dual point
_MARGIN = 0.1  # of what is between the bounds: a trial is no closer to them


@dataclass(frozen=True)
class Point:
    """A point at which the cost is known.

    Attributes
    ----------
    theta
        [W | b], O x (d + 1).
    cost
        J.
    gradient
        [dJ/dW | dJ/db].
    """

    theta: Vector
    cost: float
    gradient: Vector


@dataclass(frozen=True)
class Tried:
    """A length of a step, with the cost and its slope along the direction there."""

    t: float
    cost: float
    slope: float


class Inverse(Protocol):
    """An approximate inverse of a Hessian."""

    @property
    def sampled(self) -> bool:
        """Whether it is that of a sample, at a point: then curvatures may be too small."""
        ...

    def solve(self, gradient: Vector) -> Vector:
        """Return it times a gradient."""
        ...


class First(Protocol):
    """What rank 0 makes, on every rank: see `Communicator.first`."""

    def __call__(self, make: Callable[[], T], /) -> T:
        """Return what rank 0 makes."""
        ...


class Lbfgs:
    """Limited-memory BFGS with a preconditioner as its initial inverse Hessian.

    Of several processes, all decide alike: what depends on the rounding of a processor or of its
    BLAS, products and directions, is rank 0's.

    Nocedal and Wright (2006), algorithms 7.4 and 7.5.

    Parameters
    ----------
    start
        The first point.
    preconditioner
        Multiplies by an approximate inverse of the Hessian.
    first
        Of the communicator.

    Attributes
    ----------
    point
        The best so far.
    preconditioner
        As given, or by `precondition`.
    steps, changes
        The last steps s, and the changes y of the gradient over them.
    t, low, high, trials
        The line search: the length that is tried next, between which bounds, after how many tries.
    iterations, length
        Steps made, and how long the last one was.
    trials_in_all
        How often the cost was evaluated.
    stuck
        Whether the search has failed: the cost cannot be told to fall any more.
    """

    def __init__(self, start: Point, preconditioner: Inverse, first: First = _ALONE.first) -> None:
        self.point, self.preconditioner, self._first = start, preconditioner, first
        self.steps: list[Vector] = []
        self.changes: list[Vector] = []
        self.iterations, self.length, self.trials_in_all, self.stuck = 0, 0.0, 0, False
        memory = _MEMORY_NUMBERS // (2 * start.theta.size)
        self._memory = max(_MIN_MEMORY, min(_MAX_MEMORY, memory))
        self.t, self.trials = 1.0, 0
        self.low: Tried
        self.high: Tried | None
        self._aim()

    def trial(self) -> Vector:
        """Return the theta at which the cost is to be evaluated next."""
        return self.point.theta + self.t * self.direction

    def take(self, found: Point, precision: float) -> bool:
        """Take note of the cost at the trial point; return whether the step was made.

        Parameters
        ----------
        found
            At `trial`.
        precision
            Relative: smaller differences of costs are rounding.
        """
        before, slope = self.point, self._slope
        self.trials += 1
        self.trials_in_all += 1
        new_slope = self._first(lambda: float(np.vdot(self.direction, found.gradient)))
        rounding = precision * abs(before.cost)
        # Where rounding hides the decrease, the slope tells it (Hager and Zhang, 2005, eq. 4).
        falls = found.cost <= before.cost + _DECREASE * self.t * slope or (
            found.cost <= before.cost + rounding and new_slope <= (2 * _DECREASE - 1) * slope
        )
        if falls and new_slope >= _CURVATURE * slope:
            self._step(found)
            return True
        tried = Tried(self.t, found.cost, new_slope)
        if falls:
            shorter, self.low = self.low, tried
            self.t = self._between() if self.high else _beyond(shorter, tried)
        else:
            self.high = tried
            self.t = self._between()
        self.stuck = self.trials >= _MAX_TRIALS
        return False

    def forget(self) -> None:
        """Begin again from the best point so far, without what was remembered."""
        self.steps, self.changes, self.stuck = [], [], False
        self._aim()

    def remember(self, steps: list[Vector], changes: list[Vector]) -> None:
        """Begin with steps that another search has made, and what they change of this gradient."""
        kept = self._first(
            lambda: [k for k, step in enumerate(steps) if float(np.vdot(step, changes[k])) > 0]
        )
        self.steps, self.changes = [steps[k] for k in kept], [changes[k] for k in kept]
        self._aim()

    def precondition(self, preconditioner: Inverse) -> None:
        """Begin again from the best point so far, with a better initial inverse Hessian."""
        self.preconditioner = preconditioner
        self.forget()

    def restart(self, point: Point) -> None:
        """Take the same point with a cost and a gradient of higher precision."""
        self.point, self.stuck = point, False
        self._aim()

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint must hold besides the arrays, as plain Python objects."""
        return {
            "cost": self.point.cost,
            "remembered": len(self.steps),
            "iterations": self.iterations,
            "length": self.length,
            "trials_in_all": self.trials_in_all,
            "stuck": self.stuck,
            "trials": self.trials,
            "t": self.t,
            "low": vars(self.low),
            "high": None if self.high is None else vars(self.high),
        }

    def restore(
        self, steps: list[Vector], changes: list[Vector], progress: Mapping[str, Any]
    ) -> None:
        """Go to the state that was saved; the point is that of the beginning."""
        self.steps, self.changes = steps, changes
        self._aim()
        for name in ("iterations", "length", "trials_in_all", "stuck", "trials", "t"):
            setattr(self, name, progress[name])
        high = progress["high"]
        self.low = Tried(**progress["low"])
        self.high = None if high is None else Tried(**high)

    def smallest_gradient(self) -> tuple[Vector, float]:
        """Return where the gradient is smallest in the span of the last steps, and how small.

        Near the optimum the gradient at theta - S c is g - Y c, for steps S and changes Y, so c is
        a least-squares solution (Anderson, 1965). A small gradient makes a good dual point, while
        the cost there need not be smaller.

        Returns
        -------
        theta
            O x (d + 1).
        squared norm
            Of dJ/dW there, as the quadratic model predicts it.
        """
        return self._first(self._smallest_gradient)

    def _smallest_gradient(self) -> tuple[Vector, float]:
        g = self.point.gradient
        if not self.steps:
            return self.point.theta, float(np.vdot(g[:, :-1], g[:, :-1]))
        changes = np.stack(self.changes)
        Y = changes.copy()
        Y[:, :, -1] *= _BIAS_COUNTS
        Y = Y.reshape(len(Y), -1)
        scale = np.sqrt(np.einsum("ij,ij->i", Y, Y))
        Y /= scale[:, None]
        weighted = g.copy()
        weighted[:, -1] *= _BIAS_COUNTS
        c = np.linalg.lstsq(Y @ Y.T, Y @ weighted.reshape(-1), rcond=1e-12)[0] / scale
        theta = self.point.theta - np.tensordot(c, np.stack(self.steps), 1)
        left = g - np.tensordot(c, changes, 1)
        return theta, float(np.vdot(left[:, :-1], left[:, :-1]))

    def ahead(self) -> float:
        """Return by how much the next step lowers the cost, as the quadratic model predicts it."""
        return -self._slope / 2

    def _step(self, found: Point) -> None:
        step, change = found.theta - self.point.theta, found.gradient - self.point.gradient
        if self._first(lambda: float(np.vdot(step, change)) > 0):
            self.steps = [*self.steps, step][-self._memory :]
            self.changes = [*self.changes, change][-self._memory :]
        self.point, self.length = found, self.t
        self.iterations += 1
        self._aim()

    def _aim(self) -> None:
        """Set the direction, and begin a search along it."""
        self.direction, self._slope = self._first(self._downhill)
        self.t, self.trials = 1.0, 0
        self.low, self.high = Tried(0.0, self.point.cost, self._slope), None

    def _downhill(self) -> tuple[Vector, float]:
        """Return the direction p = -H g, and the cost's slope along it."""
        g = self.point.gradient
        q, taken = g.copy(), []
        for step, change in zip(reversed(self.steps), reversed(self.changes), strict=True):
            rho = 1.0 / float(np.vdot(step, change))
            alpha = rho * float(np.vdot(step, q))
            taken.append((rho, alpha))
            q -= alpha * change
        q = self.preconditioner.solve(q)
        if self.steps and self.preconditioner.sampled:  # its scale, as in eq. 7.20
            step, change = self.steps[-1], self.changes[-1]
            expected = float(np.vdot(change, self.preconditioner.solve(change)))
            q *= min(1.0, float(np.vdot(step, change)) / expected)
        for step, change, (rho, alpha) in zip(
            self.steps, self.changes, reversed(taken), strict=True
        ):
            q += (alpha - rho * float(np.vdot(change, q))) * step
        return -q, float(np.vdot(-q, g))

    def _between(self) -> float:
        """Return a length between the bounds: the minimum of a cubic, if it is well inside."""
        if self.high is None:
            raise ValueError("expected an upper bound")
        low, width = self.low.t, self.high.t - self.low.t
        finite = math.isfinite(self.high.cost)
        t = _cubic_minimum(self.low, self.high) if finite else self.low.t
        return min(max(t, low + _MARGIN * width), low + (1 - _MARGIN) * width)


def _beyond(shorter: Tried, last: Tried) -> float:
    """Return a length beyond two that were too short."""
    t = _cubic_minimum(shorter, last)
    return min(max(t, 1.5 * last.t), 4 * last.t)


def _cubic_minimum(a: Tried, b: Tried) -> float:
    """Return where the cubic with these values and slopes is smallest.

    Nocedal and Wright (2006), eq. 3.59. Where there is no such place, or a number is not finite,
    the middle of both, or beyond both if the slope still falls at b.
    """
    middle = (a.t + b.t) / 2 if b.slope >= 0 or b.cost > a.cost else 4 * b.t
    d1 = a.slope + b.slope - 3 * (a.cost - b.cost) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not (math.isfinite(square) and square >= 0):
        return middle
    d2 = math.copysign(math.sqrt(square), b.t - a.t)
    below = b.slope - a.slope + 2 * d2
    if below == 0:
        return middle
    return b.t - (b.t - a.t) * (b.slope + d2 - d1) / below
