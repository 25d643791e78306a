"""A function that the user wrote, called in a process of its own.

This is the one place where the program executes code that it did not bring along, and only because
the user names it on the command line. Whatever that code does to its process, and if it never
returns, the command goes on and says so in one line.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.machinery
import importlib.util
import inspect
import multiprocessing
import os
import pathlib
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import UserCodeError, first_line

TIME_LIMIT = 60
"""Seconds that the file and the function may take together."""

_ENDS_WITHIN = 1.0  # seconds after its answer

SIGNATURES = "(X, Y, W, b, lam), (X, Y, network, lam) or (X, Y, P, network, lam)"
_LAMBDAS = ("lam", "lamda", "lambda_", "lmbda", "lambd", "l2", "reg")
_NETWORKS = ("network", "net", "net_params", "params", "model")
_MODULE = "backprop_own_gradient"
_STOPS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]


@dataclass(frozen=True)
class Place:
    """Where a function stands: the name of a file, and its own."""

    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


@dataclass(frozen=True)
class Returned:
    """What the function returned: two arrays of real numbers, and which arguments it changed."""

    dW: NDArray[Any]
    db: NDArray[Any]
    changed: tuple[str, ...]


def call_apart(place: Place, given: Mapping[str, Any], shapes: str) -> Returned:
    """Call the function in a process of its own; see `call_here`.

    Raises
    ------
    UserCodeError
        Also where the process ends, or does not, before the function returns.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, place, given, shapes))
    try:
        with _signals_held_back():
            process.start()
        theirs.close()
        if not ours.poll(TIME_LIMIT):
            raise UserCodeError(
                f"{place}: has not returned after {TIME_LIMIT} seconds: is there an endless loop? "
                "If it is only slow, give it fewer examples, as by --examples 10"
            )
        found = ours.recv()
        process.join(_ENDS_WITHIN)
    except (EOFError, BrokenPipeError) as error:
        process.join()
        how = _ending(process.exitcode or 0)
        raise UserCodeError(f"{place}: {how} before the function returned") from error
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        ours.close()
    if isinstance(found, Returned):
        return found
    raise UserCodeError(found)


def _ending(status: int) -> str:
    """Return how a process came to its end."""
    if status >= 0:
        return f"its process ended, with exit status {status},"
    name = signal.Signals(-status).name
    return f"its process was ended by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: this one hears of it, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(connection: Connection, place: Place, given: Mapping[str, Any], shapes: str) -> None:
    """Call the function, and send what it returned, or a line about what is wrong."""
    if hasattr(signal, "alarm"):
        signal.alarm(2 * TIME_LIMIT)  # nobody waits any more: the command was killed
    with contextlib.suppress(OSError, AttributeError):  # stderr may be closed
        os.dup2(2, 1)  # stdout is the command's
        sys.stdout = sys.stderr
    sys.dont_write_bytecode = True
    try:
        connection.send(call_here(place, given, shapes))
    except UserCodeError as error:
        connection.send(str(error))


def call_here(place: Place, given: Mapping[str, Any], shapes: str) -> Returned:
    """Execute the file, and call the function with those of the arguments that it asks for.

    Parameters
    ----------
    place
        The function.
    given
        X, Y, y, P, W, b, lam and network, of which the last has W and b in it.
    shapes
        What to add to the message if the function fails.

    Raises
    ------
    UserCodeError
        The file or the function fails, there is no such function, it takes other parameters, or it
        does not return two arrays of real numbers.
    """
    function = _function(place)
    before = {name: np.array(value) for name, value in given.items() if name != "network"}
    arguments = [given[name] for name in _parameters(place, function)]
    with _guarded(place, f"{place.name} failed", shapes):
        returned = function(*arguments)
    own = {**given, **given["network"]}
    changed = tuple(name for name, old in before.items() if not np.array_equal(own[name], old))
    dW, db = (_numbers(place, name, value) for name, value in _pair(place, returned))
    return Returned(dW, db, changed)


def _function(place: Place) -> Callable[..., Any]:
    """Execute the file, as Python imports a module, and return the function."""
    loader = importlib.machinery.SourceFileLoader(_MODULE, place.file)
    spec = importlib.machinery.ModuleSpec(_MODULE, loader, origin=place.file)
    module = importlib.util.module_from_spec(spec)
    module.__file__ = place.file
    sys.modules[_MODULE] = module  # dataclasses look themselves up there
    sys.path.insert(0, str(pathlib.Path(place.file).resolve().parent))  # modules beside the file
    with _guarded(place, "cannot be executed"):
        loader.exec_module(module)
    function: Callable[..., Any] | None = getattr(module, place.name, None)
    if function is None or not callable(function):
        defined = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == _MODULE
        ]
        near = difflib.get_close_matches(place.name, defined, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        if not near and defined:
            hint = f"; it defines {', '.join(defined[:8])}"
        raise UserCodeError(f"{place.file}: there is no function '{place.name}'{hint}")
    return function


def _parameters(place: Place, function: Callable[..., Any]) -> Sequence[str]:
    """Return what the function's parameters stand for: by their names, or by their number."""
    parameters: list[inspect.Parameter] = []
    with contextlib.suppress(TypeError, ValueError):
        parameters = list(inspect.signature(function).parameters.values())
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
        f"{place}: takes ({', '.join(names)}), expected {SIGNATURES}; "
        "gradcheck --template FILE.py writes an example"
    )


def _meaning(name: str) -> str | None:
    """Return which argument a parameter's name asks for."""
    if name in ("X", "Y", "y", "P", "W", "b"):
        return name
    if name in _LAMBDAS:
        return "lam"
    return "network" if name in _NETWORKS else None


def _pair(place: Place, returned: Any) -> list[tuple[str, Any]]:
    """Return dW and db, of a pair or of a mapping."""
    if isinstance(returned, Mapping):
        found = [
            next((returned[k] for k in (n, f"d{n}", f"grad_{n}") if k in returned), None)
            for n in ("W", "b")
        ]
    elif isinstance(returned, tuple | list) and len(returned) == 2:
        found = list(returned)
    else:
        kind = "nothing" if returned is None else type(returned).__name__
        raise UserCodeError(f"{place}: returned {kind}, expected dW, db or a dict with 'W' and 'b'")
    return list(zip(("dW", "db"), found, strict=True))


def _numbers(place: Place, name: str, value: Any) -> NDArray[Any]:
    """Return an array of real numbers."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise UserCodeError(
            f"{place}: {name} is no array of numbers: {first_line(error)}"
        ) from error
    kind = array.dtype.kind
    if kind == "c":
        raise UserCodeError(f"{place}: {name} has complex numbers, expected real ones")
    if kind == "O" and isinstance(value, np.ndarray):
        raise UserCodeError(
            f"{place}: {name} is an array of objects, expected one of numbers: is each entry one "
            "number?"
        )
    if kind not in "fiub":
        raise UserCodeError(
            f"{place}: {name} is {type(value).__name__}, expected an array of numbers"
        )
    return array


@contextlib.contextmanager
def _guarded(place: Place, what: str, more: str = "") -> Iterator[None]:
    """Turn whatever the user's code raises into one line."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except BaseException as error:
        line = _line(place, error)
        message = f"{type(error).__name__}: {first_line(error)}"
        if isinstance(error, SyntaxError):
            message = f"{type(error).__name__}: {error.msg}"
        raise UserCodeError(f"{place.file}{line}: {what}: {message}{more}") from error


def _line(place: Place, error: BaseException) -> str:
    """Return the last line of the user's file that an error came through."""
    if isinstance(error, SyntaxError) and error.filename == place.file:
        return f":{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    numbers = [frame.lineno for frame in frames if frame.filename == place.file]
    return f":{numbers[-1]}" if numbers else ""
