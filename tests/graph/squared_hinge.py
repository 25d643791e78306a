"""A loss that the table of operations does not have: the squared multi-class hinge."""

from __future__ import annotations

import numpy as np

from backprop_cli.graph import Derivative, Operation


def _hinges(s, y):
    return np.maximum(0, s - y @ s + 1)


def _by_s(loss, s, y):
    a = 2 * (1 - y) * _hinges(s, y)
    return np.reshape(a - a.sum() * y, (1, -1))


def _by_y(loss, s, y):
    a = 2 * (1 - y) * _hinges(s, y)
    return np.reshape(-(_hinges(s, y) ** 2) - a.sum() * s, (1, -1))


SQUARED_HINGE = Operation(
    "squared_hinge",
    "{u} = Σⱼ (1 − {1}ⱼ) max(0, {0}ⱼ − {1}ᵀ{0} + 1)²",
    lambda s, y: np.asarray((1 - y) @ _hinges(s, y) ** 2),
    (
        Derivative("aᵀ − (1ᵀa) {1}ᵀ, aⱼ = 2 (1 − {1}ⱼ) max(0, {0}ⱼ − {1}ᵀ{0} + 1)", _by_s),
        Derivative("−(max(0, {0} − {1}ᵀ{0} + 1)²)ᵀ − (1ᵀa) {0}ᵀ, a as for {0}", _by_y),
    ),
    "(C,) and (C,)",
    lambda s, y: len(s) == 1 and s == y,
    analytic=False,
    description="The loss: each wrong class adds the square of what its margin lacks.",
)
