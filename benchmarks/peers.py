"""Solvers of the same objective (benchmarks/objective.py) by other libraries.

How each of them states J = mean loss + l2 sum of W^2, without a penalty on the bias:

- scikit-learn: C = 1 / (2 l2 n). ``tol`` is for the largest component of J's gradient.
- scikit-learn-intelex: the same C. Its loss is n J, hence n ``tol``. It accelerates lbfgs only;
  newton-cg and newton-cholesky are scikit-learn's own there.
- Cyanure: lambda_1 = 2 l2, since its penalty is lambda_1 / 2 |W|^2. ``tol`` is for its relative
  duality gap. With several classes and a bias, its dual value can exceed the optimum; the gap is
  then negative, and the solver stops before the tolerance is reached.

All of them have one score w for two classes. Two scores with the same difference have the least
penalty as -w/2 and w/2, which is l2 |w|^2 / 2: there, l2 is halved.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_MAX_ITERATIONS = {"lbfgs": 100_000, "newton-cholesky": 100, "newton-cg": 1000}
_MAX_PASSES = 100_000


class Fit(NamedTuple):
    """W is C x d and b has C numbers, also for two classes; iterations as the solver counts.

    ``progress`` is seconds and costs on the way, of a solver that tells them.
    """

    W: NDArray[np.float64]
    b: NDArray[np.float64]
    seconds: float
    iterations: int
    progress: tuple[tuple[float, float], ...] = ()


def scikit_learn(
    x: NDArray[Any],
    y: NDArray[np.int64],
    l2: float,
    tol: float,
    *,
    solver: str = "lbfgs",
    float32_first: bool = False,
    max_iter: int | None = None,
) -> Fit:
    """Fit by scikit-learn, in the dtype of ``x``; on request, from float32's solution."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=_inverse_penalty(x, y, l2), solver=solver, tol=tol,
        max_iter=max_iter or _MAX_ITERATIONS[solver], warm_start=float32_first,
    )  # fmt: skip
    if float32_first:
        first = _fit(model, x.astype(np.float32), y)
        then = _fit(model, x, y)
        return then._replace(
            seconds=first.seconds + then.seconds, iterations=first.iterations + then.iterations
        )
    return _fit(model, x, y)


def scikit_learn_pipeline(x: NDArray[Any], y: NDArray[np.int64], l2: float, max_iter: int) -> None:
    """Fit by scikit-learn as one writes it: StandardScaler, then LogisticRegression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=_inverse_penalty(x, y, l2), max_iter=max_iter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it does not converge in so few iterations
        make_pipeline(StandardScaler(), model).fit(x, y)


def scikit_learn_intelex(x: NDArray[Any], y: NDArray[np.int64], l2: float, tol: float) -> Fit:
    """Fit by scikit-learn-intelex: SciPy's L-BFGS over Intel's loss and gradient."""
    from sklearnex.linear_model import LogisticRegression

    model = LogisticRegression(
        C=_inverse_penalty(x, y, l2), tol=tol * len(x), max_iter=_MAX_ITERATIONS["lbfgs"]
    )
    return _fit(model, x, y)


def _fit(model: Any, x: NDArray[Any], y: NDArray[np.int64]) -> Fit:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rounding may end a line search before tol is reached
        model.fit(x, y)
    seconds = time.perf_counter() - start
    return Fit(*_two_scores(model.coef_, model.intercept_), seconds, int(model.n_iter_[0]))


def _inverse_penalty(x: NDArray[Any], y: NDArray[np.int64], l2: float) -> float:
    return 1 / (2 * _penalty(l2, y) * len(x))


def cyanure(
    x: NDArray[Any], y: NDArray[np.int64], l2: float, tol: float, *, max_iter: int = _MAX_PASSES
) -> Fit:
    """Fit by Cyanure, in the dtype of ``x``; an iteration is a pass over the examples."""
    from cyanure.estimators import Classifier

    model = Classifier(
        loss="logistic" if y.max() == 1 else "multiclass-logistic", penalty="l2",
        lambda_1=2 * _penalty(l2, y), fit_intercept=True, tol=tol, max_iter=max_iter,
        verbose=False,
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(x, y)
    seconds = time.perf_counter() - start
    W, b = np.atleast_2d(model.coef_.T), np.ravel(model.intercept_)
    passes, costs, *_, elapsed = model.optimization_info_[0]
    progress = tuple(zip(elapsed.tolist(), costs.tolist(), strict=True))
    return Fit(*_two_scores(W, b), seconds, int(passes[-1]), progress)


def _penalty(l2: float, y: NDArray[np.int64]) -> float:
    """Return the penalty of the weights that the libraries have."""
    return l2 if y.max() > 1 else l2 / 2


def _two_scores(
    W: NDArray[Any], b: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights and biases of C classes, which a single score stands for if C is 2."""
    W, b = W.astype(np.float64), b.astype(np.float64)
    return (np.concatenate([-W, W]) / 2, np.concatenate([-b, b]) / 2) if len(W) == 1 else (W, b)


PEERS: dict[str, Callable[[NDArray[Any], NDArray[np.int64], float, float], Fit]] = {
    "scikit-learn lbfgs": scikit_learn,
    "scikit-learn newton-cg": partial(scikit_learn, solver="newton-cg"),
    "scikit-learn newton-cholesky": partial(scikit_learn, solver="newton-cholesky"),
    "scikit-learn-intelex": scikit_learn_intelex,
    "Cyanure": cyanure,
}
"""Each takes standardized features, labels from 0, l2 and its own tolerance."""
