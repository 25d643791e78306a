"""The preconditioner of L-BFGS: an approximate inverse of the Hessian of J."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.losses import Array, Vector
from backprop_cli.solvers.second_moment import SecondMoment

_MAX_SIZE = 600  # of a matrix that is inverted: numbers of W and b that depend on each other
_CHUNK_NUMBERS = 500_000
_PROJECTIONS = 1e10  # multiplications for the diagonal, which needs fewer examples than a matrix
_RIDGE = 1e-6  # of the mean eigenvalue: float32 may round a smaller one below 0
_LEAST_CURVATURE = 1e-10
_FIRST_LOOK, _NEXT_LOOK = 6, 4  # steps before the first; times that before each later one


@dataclass(frozen=True)
class Hessian:
    """An approximate Hessian of the mean loss L, in coordinates of which most are independent.

    The coordinates of each score's w are those along V, the leading directions of the features
    (see `SecondMoment`), and the rest. With b' = b + W m in place of b, features have the mean 0.

    Attributes
    ----------
    along
        The curvature along each direction, O x r.
    rest
        That along any other direction, O x 1.
    bias
        That along b', O x 1.
    inverse
        The inverse Hessian of J, with its penalty, in the last r' directions and b' of all scores:
        O (r' + 1) x O (r' + 1); there it is taken in place of ``along`` and ``bias``. None if it is
        not known.
    """

    along: Vector
    rest: Vector
    bias: Vector
    inverse: Vector | None = None

    @classmethod
    def uniform(cls, moment: SecondMoment, kappa: Vector) -> Hessian:
        """Return diag(kappa) (x) covariance, as if all examples had the same curvature.

        After Boehning (1992), with the mean of the curvature by each score, kappa, O numbers > 0,
        in place of its bound.
        """
        bias = kappa[:, None]
        return cls(bias * moment.e, bias * moment.rest, bias)


@dataclass(frozen=True)
class Looked:
    """Where a Hessian was looked at: theta, and the model whose penalty it has."""

    theta: Vector
    model: int


def time_to_look(steps: int) -> bool:
    """Say whether to look at the Hessian after so many steps: 6, 24, 96, ..."""
    due = _FIRST_LOOK
    while due < steps:
        due *= _NEXT_LOOK
    return steps == due


class Preconditioner:
    """The inverse of an approximate Hessian of J, for the parameters [W | b] of one model.

    Parameters
    ----------
    moment
        Of the features.
    hessian
        Of L.
    l2
        lambda.

    Attributes
    ----------
    sampled
        Whether the Hessian is that of a sample, at a point.
    """

    def __init__(self, moment: SecondMoment, hessian: Hessian, l2: float) -> None:
        self._moment, self._hessian, self._l2 = moment, hessian, l2
        self.sampled = hessian.inverse is not None

    def solve(self, gradient: Vector) -> Vector:
        """Return H^-1 times a gradient, O x (d + 1)."""
        moment, hessian, ridge = self._moment, self._hessian, 2 * self._l2
        dW, db = gradient[:, :-1], gradient[:, -1:]
        centred, V = dW - db * moment.mean, moment.V
        lead = _product(centred, V)
        W, b = lead / (hessian.along + ridge), db / hessian.bias
        if hessian.inverse is not None:
            r = len(hessian.inverse) // len(db) - 1
            first = lead.shape[1] - r
            known = np.concatenate([lead[:, first:], db], axis=1)
            found = (hessian.inverse @ known.reshape(-1)).reshape(known.shape)
            W[:, first:], b = found[:, :r], found[:, r:]
        rest = 1 / (hessian.rest + ridge) if V.shape[1] < len(V) else 0.0  # no direction is left
        W = _product(W - rest * lead, V.T) + rest * centred
        return np.concatenate([W, b - (W @ moment.mean)[:, None]], axis=1)


def sampled_hessian(
    moment: SecondMoment,
    theta: Vector,
    l2: float,
    curvature: Callable[[Array, NDArray[np.intp]], tuple[Array, Array]],
) -> Hessian | None:
    """Return the Hessian at theta, for a sample of the examples.

    With z the coordinates of x - m along V, and the 1 of the bias, it is

        H = 1/n sum_i (diag(q_i) - u_i u_i^T) (x) z_i z_i^T.

    All of it is kept in as many of the leading directions as is cheap, in the others its diagonal
    alone. (Erdogdu and Montanari, 2015, keep the leading part of a sampled Hessian likewise.)

    Parameters
    ----------
    moment
        Of the features.
    theta
        [W | b], O x (d + 1).
    l2
        lambda.
    curvature
        ``Q, U = curvature(S, rows)``, O x n, for the scores of some rows of the source: as in
        `Loss`, for the weighted loss of each example.

    Returns
    -------
    Hessian or None
        None where there are too many scores, or no inverse is found.
    """
    (n_scores, d), rank = theta[:, :-1].shape, moment.V.shape[1]
    r = min(rank, _MAX_SIZE // n_scores - 1)
    if r < 0:
        return None
    scale = np.sqrt(moment.e)  # with each coordinate over its deviation, float32 is enough
    V = (moment.V / scale).astype(np.float32)
    W, b = theta[:, :-1].astype(np.float32), theta[:, -1] + theta[:, :-1] @ moment.mean
    size, same, n = n_scores * (r + 1), np.arange(n_scores), 0
    H = np.zeros((n_scores, r + 1, n_scores, r + 1))
    along, squares, n_along = np.zeros((n_scores, rank)), np.zeros(n_scores), 0
    every = max(1, round(len(moment.rows) * V.size / _PROJECTIONS))  # may be sorted by class
    for rows, x in moment.sample(max(1, _CHUNK_NUMBERS // max(size, d))):
        Q, U = (own.astype(np.float32) for own in curvature(W @ x.T + b[:, None], rows))
        some, D = x[::every], (Q - U * U)[:, ::every]
        z = some @ V
        along += D @ (z * z)
        squares += D @ np.einsum("ij,ij->i", some, some)
        n_along += len(some)
        lead = z[:, rank - r :] if every == 1 else x @ V[:, rank - r :]
        Z = np.concatenate([lead, np.ones((len(x), 1), np.float32)], axis=1)
        F = (U.T[:, :, None] * Z[:, None, :]).reshape(len(x), size)
        H -= (F.T @ F).reshape(H.shape)
        H[same, :, same, :] += (Q[:, None, :] * Z.T) @ Z
        n += len(x)
    along *= moment.e / n_along
    H /= n
    bias = np.maximum(H[same, r, same, r], _LEAST_CURVATURE)[:, None]
    others = np.maximum(squares / n_along - along.sum(axis=1), 0.0)[:, None] / max(1, d - rank)
    mean = float(np.einsum("kaka->", H)) / size
    if n_scores > 1:  # all biases may grow alike: J stays the same, and its gradient is 0 along it
        H[:, r, :, r] += mean / n_scores
    ridge = np.append(2 * l2 / moment.e[rank - r :], 0.0) + _RIDGE * mean
    H[same, :, same, :] += np.diag(ridge)
    scales = np.tile(np.append(scale[rank - r :], 1.0), n_scores)
    inverse = _inverse(H.reshape(size, size)) / np.outer(scales, scales)
    floor = _LEAST_CURVATURE * moment.e
    found = Hessian(np.maximum(along, floor), np.maximum(others, floor[0]), bias, inverse)
    return found if all(np.isfinite(own).all() for own in (along, others, inverse)) else None


def _product(A: Vector, V: Array) -> Vector:
    """Return A V, computed in the type of V, which holds A in a scale of its own."""
    size = float(np.abs(A).max()) or 1.0
    return np.asarray(size * ((A / size).astype(V.dtype) @ V).astype(np.float64))


def _inverse(H: Vector) -> Vector:
    """Return the inverse of a symmetric matrix; NaN if it is not positive."""
    try:
        np.linalg.cholesky(H)
        inverse = np.linalg.inv(H)
    except np.linalg.LinAlgError:
        return np.full(H.shape, np.nan)
    return np.asarray((inverse + inverse.T) / 2)
