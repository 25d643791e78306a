"""Compiled kernels: gather, scores, losses, gradients and update of a mini-batch in one go.

They do what `BatchEngine` and the update rule do, in float32, at several times the speed where
classes are few. This package needs numba, and is imported only where it is used.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import pathlib
import shutil
import tempfile
from typing import Any

import numba
from numba.core.caching import NullCache


def _cache_folder() -> str:
    """Return where compiled code is kept: one folder for each version of these files.

    numba looks only at the file that a function stands in, not at those it calls.
    """
    here = pathlib.Path(__file__).parent
    sources = b"".join(path.read_bytes() for path in sorted(here.glob("*.py")))
    version = hashlib.sha256(sources).hexdigest()[:16]
    places = (os.environ.get(name) for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"))
    base = next(filter(None, places), "~/.cache")
    readable = None
    try:
        folder = pathlib.Path(base).expanduser() / "backprop" / version
        readable = folder if folder.is_dir() else None
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return str(folder)
    except (OSError, RuntimeError):
        pass
    # Nothing can be kept there; numba reads only where it can write.
    own = tempfile.mkdtemp(prefix="backprop-kernels-")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    if readable is not None:
        with contextlib.suppress(OSError):
            shutil.copytree(readable, own, dirs_exist_ok=True)
    return own


numba.config.CACHE_DIR = _cache_folder()

IS_DISABLED = bool(numba.config.DISABLE_JIT)
"""Whether the environment turns numba's compiler off."""


def load_from_cache(function: Any, arguments: tuple[Any, ...]) -> None:
    """Load what was compiled for such arguments on an earlier day, if there is anything.

    A call would do the same, but only after numba has set up all that compiling needs: 0.3 s and
    56 MB. This goes by numba's inner functions; where they are others, a call still works.
    """
    with contextlib.suppress(Exception):
        signature = tuple(numba.typeof(argument) for argument in arguments)
        found = function._cache._load_overload(signature, function.targetctx)
        if found is not None:
            function.add_overload(found)


def forget_cache(function: Any) -> None:
    """Empty a function's cache on the disk, and compile it in memory this time."""
    with contextlib.suppress(Exception):
        function._cache.flush()
    function._cache = NullCache()
