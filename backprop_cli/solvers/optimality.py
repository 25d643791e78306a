"""How far a model can be from the optimum, at most: the duality gap.

For a smooth loss and lambda > 0 the cost has a dual, whose value at any feasible point is a lower
bound on every cost. `docs/equations.md` derives it:

    D = 1/n sum_i v_i (l_i - g_i^T s_i) - |dL/dW|^2 / (4 lambda),    where dL/db = 0.

At the dual point that belongs to W and b, J - D = |dJ/dW|^2 / (4 lambda).
"""

from __future__ import annotations

import functools
import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.losses import Vector
from backprop_cli.solvers.fixed_weights import FixedWeights
from backprop_cli.solvers.full_batch import MANY_CLASSES, FullBatch
from backprop_cli.solvers.hinge_duality import hinge_bound
from backprop_cli.solvers.lbfgs import Lbfgs

_MAX_STEPS, _FIRST_STEPS = 10, 40  # of the bias; for a new search
_LAST_STEP = 1e-7  # after a step as small as this, what is left is its square
_MAX_NEWTON = 0.8  # of a step of Newton's: then it lowers L
_RIDGE = 1e-12  # against the mean curvature: a class may have none
_MIN_CURVATURE = 1e-290  # below, the ridge underflows, and there may be no step of Newton's
_NEVER = 1e300  # minus the score of a class that does not occur
_FALLS = 0.1  # dL/db, from one step of the bias to the next: else the curvature is computed again
_SMALL_PART = 0.01  # of the gap
_MIN_PASSES, _FIRST_PASSES = 1, 3  # before a dual point; of a new search, which has no memory yet
_TRUTHFUL = 6.0  # a gap, against what the cost is seen to fall by, that is not too large
_AHEAD = 3.0  # the gap that is predicted, against the same: what is found is larger by it
_SMALL = 1e-13  # a relative gap at which nothing better is looked for
_ROUNDING = 1e-14  # of a cost in float64, relative: no gap is known to be smaller


@dataclass(frozen=True)
class Optimality:
    """What is known of the distance to the optimum.

    Attributes
    ----------
    cost
        J of the model on the training split, in float64.
    gap
        J - J* is at most this; None where no bound is known: lambda is 0, or another loss.
    gradient_norm
        |dJ/d[W | b]|, the root of the sum of squares.
    """

    cost: float
    gap: float | None
    gradient_norm: float

    @property
    def relative_gap(self) -> float | None:
        """The gap as a share of the cost."""
        if not self.gap:  # None, or 0, where the cost may be 0 as well
            return self.gap
        return self.gap / self.cost

    def within(self, tolerance: float) -> bool:
        """Say whether the gap is at most this share of the cost.

        Of tolerances that are smaller than what float64 can prove, the smallest gap will do.
        """
        return self.gap is not None and self.gap <= max(tolerance, _ROUNDING) * self.cost


@dataclass
class Bounds:
    """What a model's arrival is judged by.

    Attributes
    ----------
    norm
        Of the gradient where its path began: at W = 0, where it does not depend on l2.
    asked
        The predicted gap at which to ask for the next certificate: by as much smaller than at the
        last one as that one was too large.
    after
        After how many trials the next certificate may be asked for.
    """

    norm: float
    asked: float = sys.float_info.max
    after: int = 0


def certify(
    batch: FullBatch, m: int, theta: Vector, max_passes: int, search: Lbfgs | None = None
) -> Optimality:
    """Bound how far a model is from the optimum.

    A model is near the optimum in cost sooner than in gradient. So a better dual point is looked
    for, by a few more steps of L-BFGS, until the bound is about as small as the cost is seen to
    fall. The model itself stays as it is.

    Parameters
    ----------
    batch
        All training examples.
    m
        Which of its models.
    theta
        [W | b] of the model, O x (d + 1).
    max_passes
        Over the data, in the search for a better dual point.
    search
        Stands at the model, up to rounding, and goes on from there; by default a new one.
    """
    point = batch.point(m, theta, "float64")
    norm = float(np.linalg.norm(point.gradient))
    rounding = _ROUNDING * point.cost
    if not batch.has_dual(m):
        return Optimality(point.cost, None, norm)
    if batch.loss(m).curvature is None:
        bound = hinge_bound(batch, m, theta, max_passes)
        return Optimality(point.cost, max(point.cost - bound, rounding), norm)
    fewest, most_steps = _MIN_PASSES, _MAX_STEPS
    if search is None:
        fewest, most_steps = _FIRST_PASSES, _FIRST_STEPS
        search = Lbfgs(batch.point(m, theta), batch.preconditioner(m, theta), batch.first)
    gap, fallen, passes = math.inf, 0.0, 0
    while True:
        made, further = _sharpen(batch, m, search, fallen, (fewest, max_passes - passes))
        passes, fallen = passes + made, fallen + further
        good = max(_TRUTHFUL * fallen, _SMALL * point.cost)
        dual, squares = search.smallest_gradient()
        pays_for = max(squares / (4 * batch.l2(m)), fallen)
        found = dual_value(batch, m, dual, pays_for, most_steps)
        bound = batch.first(functools.partial(float, found))
        gap = min(gap, max(point.cost - bound, rounding))
        if gap <= good or search.stuck or passes >= max_passes:
            return Optimality(point.cost, gap, norm)


def _sharpen(
    batch: FullBatch, m: int, search: Lbfgs, fallen: float, limits: tuple[int, int]
) -> tuple[int, float]:
    """Go on until the gap that is ahead is about as small as what the cost has fallen by.

    ``limits`` are the fewest and the most passes.

    Returns
    -------
    passes
        Over the data.
    further
        What the cost has fallen by, in addition to ``fallen``.
    """
    further, (fewest, most) = 0.0, limits
    for k in range(most):
        _, squares = search.smallest_gradient()
        ahead = squares / (4 * batch.l2(m))  # J - D, where the search is
        near = ahead <= max(_AHEAD * (fallen + further), _SMALL * search.point.cost)
        if (near and k >= fewest) or search.stuck:
            return k, further
        before = search.point
        if search.take(batch.point(m, search.trial()), batch.precision):
            step = before.theta - search.point.theta
            # By the slopes: float32 rounds the costs too coarsely.
            slopes = before.gradient + search.point.gradient
            further += batch.first(functools.partial(_half_product, slopes, step))
    return most, further


def _half_product(slopes: Vector, step: Vector) -> float:
    return float(np.vdot(slopes, step)) / 2


def dual_value(
    batch: FullBatch, m: int, theta: Vector, gap: float, most_steps: int = _MAX_STEPS
) -> float:
    """Return the dual's value, a lower bound on J*, at the point that belongs to some theta.

    The dual point must have dL/db = 0. A few steps of the bias make it small; the rest is removed
    by mixing every p_i with one q, and the bound pays for it.

    Parameters
    ----------
    batch, m
        All training examples, and which of their models.
    theta
        [W | b], O x (d + 1).
    gap
        About the gap that the value is for; the bound may pay a small part of it.
    most_steps
        Of the bias.
    """
    W, b = theta[:, :-1], theta[:, -1].copy()
    shares = batch.mean_targets(m)
    _exclude(b, shares <= 0)
    fixed = FixedWeights(batch, m, W)
    allowed = _allowed_share(batch, m, W, gap)
    curvature, before = None, math.inf
    for _ in range(most_steps):
        slope = fixed.slope(b)
        share = _mixed_share(slope, shares)
        if share <= allowed:
            break
        size, fresh = float(np.abs(slope).max()), False
        few = len(b) <= MANY_CLASSES
        if few and (curvature is None or size > _FALLS * before):
            curvature, fresh = fixed.curvature(b), True
        before = size
        step = batch.first(functools.partial(_bias_step, slope, curvature, shares))
        b += step
        length = float(np.abs(step).max())
        # Newton's method leaves about this part of the slope.
        if length < _LAST_STEP or (fresh and length * share <= allowed):
            break
    sums = batch.sums((m,), W[None], b[None], "numpy", "float64")
    loss, theta_W, r = sums.loss[0] / sums.n, sums.dW[0] / sums.n, sums.db[0] / sums.n
    value = batch.first(lambda: float(loss - np.vdot(W, theta_W) - b @ r))  # of the conjugate
    share = _mixed_share(r, shares)
    value *= 1 - share
    if value <= 0:  # by rounding
        return 0.0
    norm = float(np.linalg.norm(theta_W)) + share * math.sqrt(2) * batch.reach()
    # Between this point and p = y, which has the value 0 or more, D is concave. It is largest at:
    squares = norm**2 / (4 * batch.l2(m))
    along = 1.0 if value >= 2 * squares else value / (2 * squares)
    return float(along * value - along**2 * squares)


def _mixed_share(slope: Vector, shares: Vector) -> float:
    """Return how much of q makes dL/db = 0.

    Then the mean of v p is no larger than that of v y for any class.
    """
    over = np.maximum(_by_class(slope), 0.0)
    return float(np.divide(over, shares + over, out=np.zeros_like(over), where=over > 0).max())


def _allowed_share(batch: FullBatch, m: int, W: Vector, gap: float) -> float:
    """Return how much of q makes a gap larger by a small part only."""
    shares = batch.mean_targets(m)
    entropy = float(shares.sum()) * math.log(len(shares))  # at most
    # Near the optimum W = -Theta / (2 lambda), and |Theta|^2 / (4 lambda) grows |W| times as much
    # as |Theta| does.
    size = batch.first(lambda: float(np.linalg.norm(W)))
    paid = entropy + math.sqrt(2) * batch.reach() * size  # per share of 1
    return _SMALL_PART * max(gap, _SMALL * entropy) / paid


def _exclude(b: Vector, absent: NDArray[np.bool_]) -> None:
    """Set the bias of a class that does not occur so low that its p_i is exactly 0.

    That is where the optimum has it.
    """
    if len(b) == len(absent):
        b[absent] = -_NEVER
    elif absent.any():
        b[:] = -_NEVER if absent[1] else _NEVER


def _by_class(r: Vector) -> Vector:
    """Return dL/db for each of C classes, also where two classes share one score."""
    return np.array([-r[0], r[0]]) if len(r) == 1 else r


def _bias_step(slope: Vector, curvature: Vector | None, shares: Vector) -> Vector:
    """Return Newton's step of the bias, shortened to 0.8, or where there is none, another.

    Both lower L. In a step of size 0.8 the curvature of softmax grows by a factor of e^1.6 at most
    (Sun and Tran-Dinh, 2019), so it does not go too far. The other one makes b_k larger by
    log(mean of v y_k / mean of v p_k): iterative scaling (Darroch and Ratcliff, 1972).
    """
    size = 0.0 if curvature is None else np.trace(curvature) / len(slope)
    if curvature is not None and size > _MIN_CURVATURE:
        # L stays the same where the biases of all classes grow alike: there is no curvature.
        alike = size / len(slope) if len(slope) > 1 else 0.0
        ridge = alike + _RIDGE * size * np.eye(len(slope))
        newton = np.asarray(-np.linalg.solve(curvature + ridge, slope), np.float64)
        return newton * min(1.0, _MAX_NEWTON / max(float(np.abs(newton).max()), _MAX_NEWTON))
    occurs = shares > 0
    means = np.maximum(shares + _by_class(slope), np.finfo(float).tiny)
    scaling = np.log(shares, out=np.zeros_like(shares), where=occurs)
    scaling -= np.log(means, out=np.zeros_like(shares), where=occurs)
    return scaling if len(slope) > 1 else scaling[1:] - scaling[:1]
