"""A gradient that the user wrote: found in a file, called, and its answer checked for shape.

This is the one place where the program executes code that it did not bring along, and only because
the user names it on the command line.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import inspect
import pathlib
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_cli.errors import UserCodeError, first_line
from backprop_cli.gradcheck.problem import Problem
from backprop_cli.losses import Vector

SIGNATURES = "(X, Y, W, b, lam), (X, Y, network, lam) or (X, Y, P, network, lam)"
_LAMBDAS = ("lam", "lamda", "lambda_", "lmbda", "lambd", "l2", "reg")
_NETWORKS = ("network", "net", "net_params", "params", "model")
_MODULE = "backprop_own_gradient"


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
    """

    dW: Vector
    db: Vector
    transposed: bool
    changed: tuple[str, ...]
    single_precision: bool


class OwnGradient:
    """A function of the user's, by its place.

    Parameters
    ----------
    place
        ``FILE.py:FUNCTION``. The file is executed.

    Raises
    ------
    UserCodeError
        There is no such file or function, or executing the file fails.
    """

    def __init__(self, place: str) -> None:
        file, _, name = place.rpartition(":")
        if not file or not name or file.endswith(":"):
            raise UserCodeError(f"{place}: expected FILE.py:FUNCTION, as in mine.py:gradient")
        self.place, self._file, self._name = place, file, name
        self._function = self._load()

    def __call__(self, problem: Problem) -> OwnAnswer:
        """Call the function on a mini-batch; each argument is a copy.

        Raises
        ------
        UserCodeError
            The function fails, takes other parameters, or returns something else than dW and db.
        """
        given = _arguments(problem)
        before = {name: np.array(value) for name, value in given.items() if name != "network"}
        arguments = [given[name] for name in self._parameters()]
        with self._guarded(f"{self._name} failed", _shapes(problem)):
            returned = self._function(*arguments)
        own = given | given["network"]
        changed = tuple(n for n, old in before.items() if not np.array_equal(own[n], old))
        dW, db = self._pair(returned)
        shape, transposed = problem.W.shape, False
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
        single = any(array.dtype in (np.float32, np.float16) for array in (dW, db))
        return OwnAnswer(
            dW.astype(np.float64), db.astype(np.float64).ravel(), transposed, changed, single
        )

    def _load(self) -> Callable[..., Any]:
        path = pathlib.Path(self._file)
        try:
            text = path.read_text("utf-8")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UserCodeError(f"{self._file}: cannot read it: {why}") from error
        module = types.ModuleType(_MODULE)
        module.__file__ = self._file
        sys.modules[_MODULE] = module  # dataclasses look themselves up there
        folder = str(path.resolve().parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)  # as Python does for a script: modules beside the file
        with self._guarded("cannot be executed"):
            tree = ast.parse(text, self._file)
            exec(compile(tree, self._file, "exec"), module.__dict__)  # noqa: S102 - asked for
        function = getattr(module, self._name, None)
        if not callable(function):
            defined = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
            near = difflib.get_close_matches(self._name, defined, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            if not near and defined:
                hint = f"; it defines {', '.join(defined[:8])}"
            raise UserCodeError(f"{self._file}: there is no function '{self._name}'{hint}")
        return function  # type: ignore[no-any-return]

    def _parameters(self) -> list[str]:
        """Return what the function's parameters stand for: by their names, or by their number."""
        try:
            parameters = inspect.signature(self._function).parameters.values()
        except (TypeError, ValueError):
            parameters = ()  # type: ignore[assignment]
        names = [
            p.name
            for p in parameters
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        meanings = [_meaning(name) for name in names]
        if all(meanings) and meanings:
            return [meaning for meaning in meanings if meaning]
        if len(names) == 5:
            return ["X", "Y", "W", "b", "lam"]
        raise UserCodeError(
            f"{self.place}: takes ({', '.join(names)}), expected {SIGNATURES}; "
            "gradcheck --template FILE.py writes an example"
        )

    def _pair(self, returned: Any) -> tuple[Vector, Vector]:
        """Return dW and db as arrays of real numbers."""
        if isinstance(returned, Mapping):
            found = [
                next((returned[k] for k in (n, f"d{n}", f"grad_{n}") if k in returned), None)
                for n in ("W", "b")
            ]
        elif isinstance(returned, tuple | list) and len(returned) == 2:
            found = list(returned)
        else:
            kind = "nothing" if returned is None else type(returned).__name__
            raise UserCodeError(
                f"{self.place}: returned {kind}, expected dW, db or a dict with 'W' and 'b'"
            )
        arrays = []
        for name, value in zip(("dW", "db"), found, strict=True):
            array: Any = None
            with contextlib.suppress(TypeError, ValueError):
                array = np.asarray(value)
            if array is None or array.dtype.kind not in "fiub":
                raise UserCodeError(
                    f"{self.place}: {name} is {type(value).__name__}, expected an array of numbers"
                )
            arrays.append(array)
        return arrays[0], arrays[1]

    @contextlib.contextmanager
    def _guarded(self, what: str, more: str = "") -> Any:
        """Turn whatever the user's code raises into one line; keep its output off stdout."""
        try:
            with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with np.errstate(all="ignore"):
                    yield
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:
            line = self._line(error)
            message = f"{type(error).__name__}: {first_line(error)}"
            if isinstance(error, SyntaxError):
                message = f"{type(error).__name__}: {error.msg}"
            raise UserCodeError(f"{self._file}{line}: {what}: {message}{more}") from error

    def _line(self, error: BaseException) -> str:
        """Return the last line of the user's file that an error came through."""
        if isinstance(error, SyntaxError) and error.filename == self._file:
            return f":{error.lineno}"
        frames = traceback.extract_tb(error.__traceback__)
        numbers = [frame.lineno for frame in frames if frame.filename == self._file]
        return f":{numbers[-1]}" if numbers else ""


def _meaning(name: str) -> str | None:
    """Return which argument a parameter's name asks for."""
    if name in ("X", "Y", "y", "P", "W", "b"):
        return name
    if name in _LAMBDAS:
        return "lam"
    return "network" if name in _NETWORKS else None


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
