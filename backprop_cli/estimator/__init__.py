"""The scikit-learn estimator over `backprop_cli.fit`."""

import re
from importlib import metadata
from importlib.util import find_spec


def _needed() -> str:
    """Return the versions of scikit-learn that the extra takes, as in ``>=1.9``."""
    found = re.search(r"scikit-learn *([^; ]+)", "\n".join(metadata.requires("backprop-cli") or ()))
    return found[1] if found else ""


try:
    from backprop_cli.estimator.classifier import LinearClassifier
except ImportError as error:
    if error.name is None or error.name.split(".")[0] != "sklearn":
        raise
    if find_spec("sklearn") is None:
        raise ModuleNotFoundError(
            "LinearClassifier needs scikit-learn, found none: install backprop-cli[sklearn]",
            name="sklearn",
        ) from error
    found = metadata.version("scikit-learn")
    raise ImportError(  # it lacks what later versions have
        f"LinearClassifier needs scikit-learn{_needed()}, found {found}: "
        "install backprop-cli[sklearn]",
        name=error.name,
    ) from error

__all__ = ["LinearClassifier"]
