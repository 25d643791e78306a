"""The dual's value for the multi-class SVM, which has kinks where others have curvature.

The loss is a sum of hinges, l_i = sum over j != y of max(0, s_j - s_y + 1). Its dual has a number
alpha_ij in [0, 1] for each of them, and g_ij = alpha_ij, g_iy = -sum_j alpha_ij:

    D = 1/n sum_i v_i sum_j alpha_ij - |dL/dW|^2 / (4 lambda),    where dL/db = 0.
"""

from __future__ import annotations

import numpy as np

from backprop_cli.engine import class_scores
from backprop_cli.losses import Array, Vector
from backprop_cli.solvers.full_batch import FullBatch
from backprop_cli.solvers.lbfgs import Lbfgs

_MAX_PASSES = 10  # more of them gain little
_MAX_ROUNDS = 1000  # of the balancing
_BALANCED = 1e-13
_DAMPING = 0.25


def hinge_bound(batch: FullBatch, m: int, theta: Vector, max_passes: int) -> float:
    """Return a lower bound on J*.

    A good dual point is that of the optimum with all kinks rounded off a little, which is looked
    for by some steps of L-BFGS from theta.

    Parameters
    ----------
    batch, m
        All training examples, and which model.
    theta
        [W | b] of the model, O x (d + 1).
    max_passes
        Over the data, in the search.
    """
    smoothed = batch.loss(m).smoothed
    if smoothed is None:
        raise ValueError(f"{batch.loss(m).name} is no sum of hinges")
    smooth = batch.with_loss(m, smoothed)
    search = Lbfgs(smooth.point(0, theta), smooth.preconditioner(0), batch.first)
    for _ in range(min(max_passes, _MAX_PASSES)):
        if search.stuck:
            break
        search.take(smooth.point(0, search.trial()), smooth.precision)
    dual, _ = search.smallest_gradient()
    return max(dual_value(smooth, point) for point in (theta, dual))


def dual_value(smooth: FullBatch, theta: Vector) -> float:
    """Return the dual's value at the point that belongs to some theta.

    Its dL/db is not 0. Let F_yk be the mean of v alpha_ik over the examples of class y. A factor
    on alpha for each pair of classes balances what each class gives and gets (Osborne, 1960), and
    makes it 0. The best multiple of all alpha is found in closed form; alpha = 0 is feasible too,
    so the bound is never negative.
    """
    W, b = theta[:, :-1], theta[:, -1]
    loss_gradient = smooth.loss(0).loss_gradient
    C = len(smooth.mean_targets(0))
    total = np.zeros((C, C))
    for S, Y, v in smooth.scores(0, W, b):
        _, G = loss_gradient(class_scores(S[None]), Y[None])
        total += (v * Y) @ G[0].T
    flows = smooth.mean(total)
    np.fill_diagonal(flows, 0)
    factors = balanced(flows)

    def scaled(S: Array, Y: Array) -> tuple[Array, Array]:
        """Return sum_j alpha_j in place of the loss, and G."""
        _, G = loss_gradient(S, Y)
        alpha = G * (1 - Y) * (factors.T @ Y)
        total = alpha.sum(axis=1)
        return total, alpha - Y * total[:, None]

    sums = smooth.with_loss(0, scaled).sums((0,), W[None], b[None], "numpy", "float64")
    value, dW = float(sums.loss[0]) / sums.n, sums.dW[0] / sums.n
    square = float(np.vdot(dW, dW)) / (4 * smooth.l2(0))
    if square == 0:
        return value
    multiple = min(1.0, value / (2 * square))
    return float(max(0.0, multiple * value - multiple**2 * square))


def balanced(flows: Vector) -> Vector:
    """Return factors in [0, 1] for which factors x flows has equal sums of rows and columns.

    Parameters
    ----------
    flows
        F, C x C, >= 0, with zeros on the diagonal.

    Returns
    -------
    NDArray
        exp(u_k - u_y), scaled so that the largest that counts is 1; 0 for a class that only gives
        or only gets, after which the rest is balanced. If it cannot be balanced, all are 0.
    """
    alive = np.ones(len(flows), bool)
    u = np.zeros(len(flows))
    for _ in range(_MAX_ROUNDS):
        F = flows * np.exp(u[None, :] - u[:, None]) * np.outer(alive, alive)
        gives, gets = F.sum(axis=1), F.sum(axis=0)
        left = alive & (gives > 0) & (gets > 0)
        if not left.any():
            break
        if (left != alive).any():
            alive = left  # without what the others gave and got, F has other sums
            continue
        ratio = np.ones(len(u))
        np.divide(gives, gets, out=ratio, where=alive)
        if np.abs(ratio - 1)[alive].max() <= _BALANCED:
            factors = np.exp(u[None, :] - u[:, None]) * np.outer(alive, alive)
            return np.asarray(factors / factors[F > 0].max() * (F > 0))
        u += _DAMPING * np.log(ratio)
    return np.zeros(flows.shape)
