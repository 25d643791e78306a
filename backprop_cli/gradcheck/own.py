"""A gradient that the user wrote: found in a file, called, and its answer checked for shape."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_cli.errors import UserCodeError
from backprop_cli.gradcheck import apart
from backprop_cli.gradcheck.problem import Problem
from backprop_cli.losses import Vector
from backprop_cli.regular import read_regular, utf_8_text

_MAX_BYTES = 10_000_000


@dataclass(frozen=True)
class OwnAnswer:
    """What the user's function returned, in float64.

    Attributes
    ----------
    dW, db
        O x d and O.
    transposed
        Whether dW came as d x O.
    changed
        The names of the arguments that the function changed in place.
    single_precision
        Whether an array came in less than float64.
    integers
        The number type of dW, or of db, if it is one of integers; by W and b.
    notes
        Of a db that is no column: its numbers are compared, but a step would go wrong.
    """

    dW: Vector
    db: Vector
    transposed: bool
    changed: tuple[str, ...]
    single_precision: bool
    integers: dict[str, str]
    notes: list[str]


class OwnGradient:
    """A function of the user's, by its place.

    Parameters
    ----------
    place
        ``FILE.py:FUNCTION``. The file is executed when the function is called.

    Raises
    ------
    UserCodeError
        There is no such file.
    """

    def __init__(self, place: str) -> None:
        file, _, name = place.rpartition(":")
        if not file or not name or file.endswith(":"):
            raise UserCodeError(f"{place}: expected FILE.py:FUNCTION, as in mine.py:gradient")
        try:
            utf_8_text(read_regular(pathlib.Path(file), _MAX_BYTES))
        except OSError as error:
            raise UserCodeError(f"{file}: cannot read it: {error.strerror}") from error
        except ValueError as error:
            raise UserCodeError(f"{file}: {error}") from error
        self.place = apart.Place(file, name)

    def __call__(self, problem: Problem) -> OwnAnswer:
        """Call the function on a mini-batch, in a process of its own.

        Raises
        ------
        UserCodeError
            The function fails, takes other parameters, or returns something else than dW and db.
        """
        found = apart.call_apart(self.place, _arguments(problem), _shapes(problem))
        dW, db, shape, transposed = found.dW, found.db, problem.W.shape, False
        if dW.shape == shape[::-1] != shape:
            dW, transposed = dW.T, True
        if dW.shape != shape:
            raise UserCodeError(
                f"{self.place}: dW has shape {dW.shape}, expected {shape}, that of W"
            )
        if db.size != len(problem.b) or db.ndim > 2:
            why = ""
            if db.shape == problem.Y.shape:
                why = ": that is the shape of G, which is to be summed over the examples"
            raise UserCodeError(
                f"{self.place}: db has shape {db.shape}, expected ({len(problem.b)}, 1){why}"
            )
        return OwnAnswer(
            dW=dW.astype(np.float64),
            db=db.astype(np.float64).ravel(),
            transposed=transposed,
            changed=found.changed,
            single_precision=any(array.dtype in (np.float32, np.float16) for array in (dW, db)),
            integers={n: a.dtype.name for n, a in (("W", dW), ("b", db)) if a.dtype.kind != "f"},
            notes=_of_shape(db.shape, len(problem.b)),
        )


def _of_shape(shape: tuple[int, ...], n: int) -> list[str]:
    step = np.broadcast_shapes(shape, (n, 1))
    if step == (n, 1):
        return []
    return [
        f"db has shape {shape}, but b has ({n}, 1), so that b - eta * db would have {step}: return "
        "a column, as np.sum(..., axis=1, keepdims=True) does"
    ]


def _arguments(problem: Problem) -> dict[str, Any]:
    """Return what can be asked for, as the course has it: columns are examples."""
    W, b = problem.W.copy(), problem.b[:, None].copy()
    S = problem.scores()
    P = np.exp(S - S.max(axis=0))
    return {
        "X": problem.rows.T.copy(),
        "Y": problem.Y.copy(),
        "y": problem.Y.argmax(axis=0),
        "P": P / P.sum(axis=0),
        "W": W,
        "b": b,
        "lam": float(problem.l2),
        "network": {"W": W, "b": b},
    }


def _shapes(problem: Problem) -> str:
    (outputs, d), (C, n) = problem.W.shape, problem.Y.shape
    return f" (X is {d} x {n}, Y {C} x {n}, W {outputs} x {d}, b {outputs} x 1)"
