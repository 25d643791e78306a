"""Optima by scikit-learn: ``python -m benchmarks.optima SETS_DIR OUT_DIR``.

For every set and l2, the minimum of J (see benchmarks/objective.py) over the whole training split,
in float64: W, b, mean and std as .npz, and as .json the cost, its bound and how it was found.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.datasets import SETS, read
from benchmarks.objective import Array, Evaluation, evaluate, moments

L2 = 0.001
# With one score for two classes, J* at l2 is that of two scores at 2 l2.
_TWO_CLASSES = (L2, 2 * L2)
_OTHER_L2 = {
    "breast_cancer": _TWO_CLASSES, "sonar": _TWO_CLASSES, "ionosphere": _TWO_CLASSES,
    "cifar10": (L2, 10 * L2),
}  # fmt: skip

_TOL = 1e-10  # of the largest component of the gradient; L-BFGS may end before, by rounding
_MAX_ITERATIONS = {"lbfgs": 100_000, "newton-cholesky": 100, "newton-cg": 200}
_LARGE = 1e9  # numbers of examples times scores' weights, above which float32 comes first
_MAX_CHOLESKY = 1e12  # products in a Hessian
_MAX_CG = 5e9  # products in a pass over the data


@dataclass(frozen=True)
class Solution:
    """What a solver found, and in what time."""

    solver: str
    W: Array
    b: Array
    iterations: int
    seconds: float


def solvers(n: int, d: int, n_classes: int) -> Iterator[str]:
    """Yield the solvers that finish in minutes, two unless the set is too large."""
    yield "lbfgs"
    if n * (d * n_classes) ** 2 <= _MAX_CHOLESKY:
        yield "newton-cholesky"
    elif n * d * n_classes <= _MAX_CG:
        yield "newton-cg"


def solve(solver: str, x: Array, y: NDArray[np.int64], l2: float) -> Solution:
    """Minimize J by scikit-learn on standardized features."""
    n, d = x.shape
    n_classes = len(np.unique(y))
    # scikit-learn has one score w for two classes. Two scores with the same difference have the
    # least penalty as -w/2 and w/2: l2 |w|^2 / 2.
    penalty = l2 if n_classes > 2 else l2 / 2
    model = LogisticRegression(
        C=1 / (2 * penalty * n), solver=solver, tol=_TOL,
        max_iter=_MAX_ITERATIONS[solver], warm_start=True,
    )  # fmt: skip
    start, iterations = time.perf_counter(), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whether it converged is said by the bound
        if solver == "lbfgs" and n * d * n_classes > _LARGE:
            iterations += model.fit(x.astype(np.float32), y).n_iter_[0]
        iterations += model.fit(x, y).n_iter_[0]
    seconds = time.perf_counter() - start
    W, b = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
    if n_classes == 2:
        W, b = np.concatenate([-W / 2, W / 2]), np.concatenate([-b / 2, b / 2])
    return Solution(solver, W, b, int(iterations), seconds)


def optimum(folder: pathlib.Path, l2: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the record of a set's optimum, and the arrays of the best solution."""
    x_train, y, x_test, y_test = read(folder)
    mean, std = moments(x_train)
    x = (x_train - mean) / std
    chosen = solvers(len(x), x.shape[1], len(np.unique(y)))
    found = [solve(solver, x, y, l2) for solver in chosen]
    costs = [evaluate(each.W, each.b, x, y, l2) for each in found]
    del x
    best = min(range(len(found)), key=lambda k: costs[k].bound)
    W, b = found[best].W, found[best].b
    decided = np.argmax((x_test - mean) / std @ W.T + b, axis=1)
    record = {
        "set": folder.name, "l2": l2, "n": len(y), "d": W.shape[1], "n_classes": len(W),
        "cost": costs[best].cost, "bound": costs[best].bound,
        "test_accuracy": float(np.mean(decided == y_test)),
        "spread": max(each.cost for each in costs) / costs[best].cost - 1,
        "solvers": [_run(one, cost) for one, cost in zip(found, costs, strict=True)],
        "versions": {
            "python": platform.python_version(), "numpy": np.__version__,
            "scipy": scipy.__version__, "scikit-learn": sklearn.__version__,
        },
    }  # fmt: skip
    return record, {"W": W, "b": b, "mean": mean, "std": std}


def _run(found: Solution, at: Evaluation) -> dict[str, Any]:
    told = {"solver": found.solver, "iterations": found.iterations, "seconds": found.seconds}
    return told | asdict(at)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optima")
    parser.add_argument("sets", type=pathlib.Path, help="the folder of benchmarks.datasets")
    parser.add_argument("out", type=pathlib.Path, help="gets SET-L2.json and SET-L2.npz")
    parser.add_argument("--only", nargs="*", default=list(SETS), choices=list(SETS))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        for l2 in _OTHER_L2.get(name, (L2,)):
            record, arrays = optimum(options.sets / name, l2)
            np.savez(options.out / f"{name}-{l2:g}.npz", **arrays)
            (options.out / f"{name}-{l2:g}.json").write_text(json.dumps(record, indent=1) + "\n")
            print(
                f"{name}, l2 {l2:g}: J* {record['cost']:.12f}, bound {record['bound']:.1e}, "
                f"spread {record['spread']:.1e}, test {100 * record['test_accuracy']:.2f} %, "
                + ", ".join(
                    f"{run['solver']} {run['iterations']} iterations {run['seconds']:.1f} s"
                    for run in record["solvers"]
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
