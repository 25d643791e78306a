"""The dual's value for the multi-class SVM, which has kinks where others have curvature.

The loss is a sum of hinges, l_i = sum over j != y of max(0, s_j - s_y + 1). Its dual has a number
alpha_ij in [0, 1] for each of them, and g_ij = alpha_ij, g_iy = -sum_j alpha_ij:

    D = 1/n sum_i v_i sum_j alpha_ij - |dL/dW|^2 / (4 lambda),    where dL/db = 0.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from backprop_cli.losses import Array, Loss, Vector
from backprop_cli.solvers.full_batch import FullBatch

_MAX_ROUNDS = 1000  # of the balancing
_BALANCED = 1e-13
_DAMPING = 0.25


def hinge_dual_value(batch: FullBatch, m: int, theta: Vector) -> float:
    """Return a lower bound on J*, from the hinges that are violated at some theta.

    With alpha = 1 for violated hinges, dL/db is not 0. Let F_yk be the mean of v alpha_ik over the
    examples of class y. A factor on alpha for each pair of classes, which balances what each class
    gives and gets, makes it 0 (Osborne, 1960). The best multiple of all alpha is found in closed
    form. alpha = 0 is feasible too, so the bound is never negative.
    """
    loss = batch.loss(m)
    if loss.hinges is None:
        raise ValueError(f"{loss.name} is no sum of hinges")
    W, b = theta[:, :-1], theta[:, -1]
    flows = batch.class_pairs(m, W, b, loss.hinges)
    factors = balanced(flows)
    sums = batch.sums_of(m, W, b, _scaled(loss, factors))
    value, dW = float(sums.loss[0]) / sums.n, sums.dW[0] / sums.n
    square = float(np.vdot(dW, dW)) / (4 * batch.l2(m))
    if square == 0:
        return value
    multiple = min(1.0, value / (2 * square))
    return float(max(0.0, multiple * value - multiple**2 * square))


def _scaled(loss: Loss, factors: Vector) -> Loss:
    """Return the dual point as a loss: its sums are those of alpha, and of g x^T."""

    def loss_gradient(S: Array, Y: Array) -> tuple[Array, Array]:
        if loss.hinges is None:
            raise ValueError(f"{loss.name} is no sum of hinges")
        alpha = loss.hinges(S, Y)
        alpha *= np.einsum("yk,myn->mkn", factors, Y)
        total = alpha.sum(axis=1)
        return total, alpha - Y * total[:, None]

    return dataclasses.replace(loss, loss_gradient=loss_gradient)


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
        alive &= (gives > 0) & (gets > 0)
        if not alive.any():
            break
        ratio = np.ones(len(u))
        np.divide(gives, gets, out=ratio, where=alive)
        if np.abs(ratio - 1)[alive].max() <= _BALANCED:
            factors = np.exp(u[None, :] - u[:, None]) * np.outer(alive, alive)
            return np.asarray(factors / factors[F > 0].max() * (F > 0))
        u += _DAMPING * np.log(ratio)
    return np.zeros(flows.shape)
