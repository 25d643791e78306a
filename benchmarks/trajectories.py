"""How near a peer's solver is to the optimum after how many seconds.

- The L-BFGS of scikit-learn and of scikit-learn-intelex is SciPy's, which tells a callback the
  cost after each iteration. So one run says when each gap was reached, and it ends at the last one.
- newton-cholesky: a fit for each number of iterations.
- Cyanure tells the cost and the time after every fifth pass.

So no peer has to know when it is near enough: its tolerance is as good as it can be.
"""

from __future__ import annotations

import math
import time
import unittest.mock
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.objective import Array, evaluate
from benchmarks.peers import PEERS, Fit, cyanure, scikit_learn

_TINY = 1e-12  # a tolerance that is never reached
_MAX_NEWTON = 30
_FIRST_PASSES, _MORE_PASSES = 10, 4


class Curve(NamedTuple):
    """Costs and the seconds after which they were reached, and the last model."""

    points: list[tuple[float, float]]
    fit: Fit


def follow(
    name: str, x: NDArray[Any], y: NDArray[np.int64], l2: float, stop: float, limit: float
) -> Curve:
    """Run a peer until its cost is at most ``stop``, or for ``limit`` seconds."""
    if name == "Cyanure":
        return _cyanure(x, y, l2, stop, limit)
    if name == "scikit-learn newton-cholesky":
        return _newton(x, y, l2, stop, limit)
    return _lbfgs(name, x, y, l2, stop, limit)


def _lbfgs(
    name: str, x: NDArray[Any], y: NDArray[np.int64], l2: float, stop: float, limit: float
) -> Curve:
    import scipy.optimize

    minimize = scipy.optimize.minimize
    points: list[tuple[float, float]] = []
    # At zero, J is log C: that gives the scale of the cost that is minimized.
    at_zero = math.log(int(y.max()) + 1)

    def watched(function: Callable[..., Any], start: Array, *args: Any, **options: Any) -> Any:
        scale: list[float] = []

        def scaled(*values: Any) -> Any:
            found = function(*values)
            if not scale:
                scale.append(at_zero / float(found[0]))
            return found

        def tell(intermediate_result: Any) -> None:
            cost, seconds = scale[0] * float(intermediate_result.fun), time.perf_counter() - began
            points.append((seconds, cost))
            if cost <= stop or seconds > limit:
                raise StopIteration

        return minimize(scaled, start, *args, **(options | {"callback": tell}))

    with unittest.mock.patch("scipy.optimize.minimize", watched):
        began = time.perf_counter()
        fit = PEERS[name](x, y, l2, _TINY)
    return Curve(points, fit)


def _newton(x: NDArray[Any], y: NDArray[np.int64], l2: float, stop: float, limit: float) -> Curve:
    points: list[tuple[float, float]] = []
    for iterations in range(1, _MAX_NEWTON + 1):
        fit = scikit_learn(x, y, l2, _TINY, solver="newton-cholesky", max_iter=iterations)
        points.append((fit.seconds, evaluate(fit.W, fit.b, x, y, l2).cost))
        if points[-1][1] <= stop or fit.seconds > limit:
            break
    return Curve(points, fit)


def _cyanure(x: NDArray[Any], y: NDArray[np.int64], l2: float, stop: float, limit: float) -> Curve:
    passes = _FIRST_PASSES
    while True:
        fit = cyanure(x, y, l2, _TINY, max_iter=passes)
        costs = [cost for _, cost in fit.progress]
        # It may end of itself, where its gap, which need not be one, is negative.
        done = min(costs) <= stop or fit.iterations < passes
        if done or fit.seconds * _MORE_PASSES > limit:
            return Curve(list(fit.progress), fit)
        passes *= _MORE_PASSES
