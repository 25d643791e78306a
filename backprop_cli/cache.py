"""Where downloaded data sets are kept."""

from __future__ import annotations

import os
import pathlib
import sys

VARIABLE = "BACKPROP_DATA"
"""The environment variable that names another folder."""


def data_folder() -> pathlib.Path:
    """Return the folder for data sets; it need not exist yet."""
    named = os.environ.get(VARIABLE)
    if named:
        return pathlib.Path(named).absolute()
    home = pathlib.Path("~").expanduser()
    if sys.platform == "darwin":
        base = home / "Library" / "Caches"
    elif sys.platform == "win32":
        base = pathlib.Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    else:
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "backprop"
