"""Optima by scikit-learn: ``python -m benchmarks.optima SETS_DIR OUT_DIR``.

For every set and l2, the minimum of J (see benchmarks/objective.py) over the whole training split,
in float64: W, b, mean and std as .npz, and as .json the cost, its bound and how it was found.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray

from benchmarks.datasets import SETS, read
from benchmarks.objective import Array, evaluate, moments
from benchmarks.peers import Fit, scikit_learn

L2 = 0.001
# With one score for two classes, J* at l2 is that of two scores at 2 l2.
_TWO_CLASSES = (L2, 2 * L2)
_OTHER_L2 = {
    "breast_cancer": _TWO_CLASSES, "sonar": _TWO_CLASSES, "ionosphere": _TWO_CLASSES,
    "cifar10": (L2, 10 * L2),
}  # fmt: skip

_MAX_CHOLESKY = 1e12, 1e13  # multiplications in a Hessian, where there is another solver, or none
_MAX_TWO = 1e8  # multiplications in a pass over the data, for two solvers from zero in minutes
_TOL, _TOL_LARGE = 1e-10, 1e-7  # of the largest component of the gradient


def solve(x: Array, y: NDArray[np.int64], l2: float) -> dict[str, Fit]:
    """Minimize J on standardized features by each of the solvers that finish in minutes.

    On large sets that is one alone, from float32's solution: Newton's method where its Hessian is
    small enough, else L-BFGS. `evaluate` bounds what it misses.
    """
    n, weights = len(x), x.shape[1] * len(np.unique(y))
    few, most = (n * weights**2 <= limit for limit in _MAX_CHOLESKY)
    if n * weights > _MAX_TWO:
        if most:
            newton = scikit_learn(x, y, l2, _TOL, solver="newton-cholesky", float32_first=True)
            return {"newton-cholesky": newton}
        return {"lbfgs": scikit_learn(x, y, l2, _TOL_LARGE, float32_first=True)}
    second = "newton-cholesky" if few else "newton-cg"
    return {solver: scikit_learn(x, y, l2, _TOL, solver=solver) for solver in ("lbfgs", second)}


def optimum(folder: pathlib.Path, l2: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the record of a set's optimum, and the arrays of the best solution."""
    x_train, y, x_test, y_test = read(folder)
    mean, std = moments(x_train)
    x = (x_train - mean) / std
    found = solve(x, y, l2)
    costs = {solver: evaluate(fit.W, fit.b, x, y, l2) for solver, fit in found.items()}
    best = min(costs, key=lambda solver: costs[solver].bound)
    W, b = found[best].W, found[best].b
    decided = np.argmax((x_test - mean) / std @ W.T + b, axis=1)
    record = {
        "set": folder.name, "l2": l2, "n": len(y), "d": W.shape[1], "n_classes": len(W),
        "cost": costs[best].cost, "bound": costs[best].bound,
        "test_accuracy": float(np.mean(decided == y_test)),
        "spread": max(each.cost for each in costs.values()) / costs[best].cost - 1,
        "solvers": {
            solver: {"iterations": fit.iterations, "seconds": fit.seconds} | asdict(costs[solver])
            for solver, fit in found.items()
        },
        "versions": {
            "python": platform.python_version(), "numpy": np.__version__,
            "scipy": scipy.__version__, "scikit-learn": sklearn.__version__,
        },
    }  # fmt: skip
    return record, {"W": W, "b": b, "mean": mean, "std": std}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optima")
    parser.add_argument("sets", type=pathlib.Path, help="the folder of benchmarks.datasets")
    parser.add_argument("out", type=pathlib.Path, help="gets SET-L2.json and SET-L2.npz")
    parser.add_argument("--l2", type=float, nargs="*", help="in place of those of the table")
    parser.add_argument("--only", nargs="*", default=list(SETS), choices=list(SETS))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        for l2 in options.l2 or _OTHER_L2.get(name, (L2,)):
            record, arrays = optimum(options.sets / name, l2)
            np.savez(options.out / f"{name}-{l2:g}.npz", **arrays)
            (options.out / f"{name}-{l2:g}.json").write_text(json.dumps(record, indent=1) + "\n")
            print(
                f"{name}, l2 {l2:g}: J* {record['cost']:.12f}, bound {record['bound']:.1e}, "
                f"spread {record['spread']:.1e}, test {100 * record['test_accuracy']:.2f} %, "
                + ", ".join(
                    f"{solver} {run['iterations']} iterations {run['seconds']:.1f} s"
                    for solver, run in record["solvers"].items()
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
