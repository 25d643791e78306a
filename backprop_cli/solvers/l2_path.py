"""A path over l2: models that differ in l2 alone, and where the next one of them begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backprop_cli.losses import Vector
from backprop_cli.settings import Settings
from backprop_cli.solvers.lbfgs import Point

_MAX_KNOWN = 3  # optima that the next one is predicted from


def l2_paths(settings: Settings) -> list[list[int]]:
    """Return the models in groups that differ in l2 alone, each from the largest l2 on."""
    groups: dict[object, list[int]] = {}
    for m, model in enumerate(settings.models):
        groups.setdefault(model.path(), []).append(m)
    return [sorted(own, key=lambda m: -settings.models[m].l2) for own in groups.values()]


def path_before(settings: Settings, m: int) -> list[int]:
    """Return the last three models before one on its path, from the largest l2 on."""
    path = next(own for own in l2_paths(settings) if m in own)
    return path[: path.index(m)][-_MAX_KNOWN:]


def predicted(l2: float, values: Sequence[float], optima: Sequence[Vector]) -> Vector | None:
    """Return about where the optimum is for an l2, from the optima for the values before it.

    The polynomial in log l2 through them, by Lagrange's formula.

    Parameters
    ----------
    l2
        Of the next optimum.
    values, optima
        Of those that are known, from the largest l2 on.

    Returns
    -------
    ndarray or None
        None where fewer than two are known, or an l2 is 0 or occurs twice.
    """
    if len(values) < 2 or l2 <= 0 or len({l2, *values}) <= len(values):
        return None
    x, nodes = np.log(l2), np.log(values)
    shares = [
        np.prod([(x - other) / (own - other) for other in np.delete(nodes, k)])
        for k, own in enumerate(nodes)
    ]
    return np.asarray(np.tensordot(shares, np.stack(optima), 1))


def point_with_l2(point: Point, more: float) -> Point:
    """Return the same point where l2 is larger by ``more``: no pass over the data is needed."""
    W = point.theta[:, :-1]
    cost = point.cost + more * float(np.vdot(W, W))
    return Point(point.theta, cost, gradient_with_l2(point.gradient, point.theta, more))


def gradient_with_l2(gradient: Vector, theta: Vector, more: float) -> Vector:
    """Return a gradient, or its change over a step theta, for an l2 that is larger by ``more``."""
    gradient = gradient.copy()
    gradient[:, :-1] += 2 * more * theta[:, :-1]
    return gradient
