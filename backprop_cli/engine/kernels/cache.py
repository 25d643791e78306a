"""Where compiled code is kept from one run to the next."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Iterable
from typing import Any

import numba
from numba.core.caching import NullCache

import backprop_cli.losses.kernels
from backprop_cli.engine.kernels.losses import COMPILED
from backprop_cli.losses import LOSSES

_LOADING = threading.Lock()  # engines may be made ready side by side


def keep_compiled(functions: Iterable[Any]) -> None:
    """Let compiled functions be kept, and found again, on the disk.

    numba asks its settings for the folder when a function's cache is made, and only then; they are
    as before when this returns.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _folder()
    try:
        for function in functions:
            function.enable_caching()
    finally:
        numba.config.CACHE_DIR = before


@functools.cache
def _folder() -> str:
    """Return the folder: one for each version of the kernels.

    numba looks only at the file in which a function stands, not at those that it calls, nor at the
    numbers that the losses have.
    """
    sources = [*pathlib.Path(__file__).parent.glob("*.py")]
    sources.append(pathlib.Path(backprop_cli.losses.kernels.__file__))
    digest = hashlib.sha256(repr([(name, LOSSES[name].kernel) for name in COMPILED]).encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    version = digest.hexdigest()
    places = (os.environ.get(name) for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"))
    base = next(filter(None, places), "~/.cache")
    readable = None
    try:
        if os.environ.get("HOME") == "" and base.startswith("~"):
            raise RuntimeError("no home")  # it would be the root
        folder = pathlib.Path(base).expanduser() / "backprop" / version[:16]
        readable = folder if folder.is_dir() else None
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return str(folder)
    except (OSError, RuntimeError):
        pass
    # Nothing can be kept there, and numba reads only where it can write.
    own = tempfile.mkdtemp(prefix="backprop-kernels-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    if readable is not None:
        with contextlib.suppress(OSError):
            shutil.copytree(readable, own, dirs_exist_ok=True)
    return own


def load_or_compile(function: Any, arguments: tuple[Any, ...]) -> None:
    """Call a function that does nothing with such arguments, so that it is ready for others.

    A function that was compiled on an earlier day is loaded by hand first. The call would do the
    same, but only after numba has set up all that compiling needs: 0.3 s and 56 MB. That goes by
    numba's inner functions; where they are others, the call still works.
    """
    with contextlib.suppress(Exception), _LOADING:
        signature = tuple(numba.typeof(argument) for argument in arguments)
        if signature not in function.overloads:  # of two that are the same, numba calls neither
            found = function._cache._load_overload(signature, function.targetctx)
            if found is not None:
                function.add_overload(found)
    try:
        function(*arguments)
    except Exception:  # numba raises nearly anything on a damaged cache, or a full disk
        with contextlib.suppress(Exception):
            function._cache.flush()
        function._cache = NullCache()
        function(*arguments)
