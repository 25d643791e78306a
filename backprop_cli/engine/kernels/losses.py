"""The losses that have a kernel, as one function."""

from __future__ import annotations

from typing import Any

from numba import njit

import backprop_cli.losses.kernels
from backprop_cli.losses import LOSSES

COMPILED = tuple(name for name, loss in LOSSES.items() if loss.kernel is not None)
"""Names of the losses that the kernels know. A loss's number is its place here."""


def _chain(functions: list[Any]) -> Any:
    """Return a function that calls the one of a number."""
    first, *others = functions
    if not others:

        @njit(nogil=True, _nrt=False, forceinline=True)
        def last(number: int, s: Any, label: int, smoothing: float) -> Any:
            return first(s, label, smoothing)

        return last
    rest = _chain(others)

    @njit(nogil=True, _nrt=False, forceinline=True)
    def choose(number: int, s: Any, label: int, smoothing: float) -> Any:
        if number == 0:
            return first(s, label, smoothing)
        return rest(number - 1, s, label, smoothing)

    return choose


loss_gradient = _chain(
    [getattr(backprop_cli.losses.kernels, LOSSES[name].kernel or "") for name in COMPILED]
)
"""``l = loss_gradient(number, s, label, smoothing)``; s becomes g = dl/ds."""
