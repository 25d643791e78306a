"""The formats by name, each written by a module of its own."""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
from dataclasses import dataclass

from backprop_cli.atomic import write_atomically
from backprop_cli.errors import ConfigError
from backprop_cli.exports.raw import RawClassifier


@dataclass(frozen=True)
class Format:
    """A format that models are exported to.

    Attributes
    ----------
    module
        Of this package: ``content(classifier)`` returns the file, ``usage(classifier, file)`` the
        lines of Python that load it.
    suffix
        How names of such files end.
    file_name
        The name by default; not that of a run's own model.
    needs
        The packages that write it, and the extra that installs them.
    """

    module: str
    suffix: str
    file_name: str
    needs: tuple[str, ...] = ()
    extra: str = ""


FORMATS = {
    "onnx": Format("onnx_file", ".onnx", "model.onnx", ("onnx",), "onnx"),
    "torch": Format("torch_file", ".safetensors", "torch.safetensors"),
    "sklearn": Format("sklearn_file", ".skops", "model.skops", ("sklearn", "skops"), "sklearn"),
    "numpy": Format("numpy_file", ".npz", "model.npz"),
}


def export(classifier: RawClassifier, to: str, path: pathlib.Path) -> str:
    """Write a classifier to a file; return the lines of Python that load it.

    Parameters
    ----------
    classifier
        With all that is needed folded in.
    to
        A name of `FORMATS`.
    path
        The file.

    Raises
    ------
    ConfigError
        A package is not installed, or the format cannot hold the classifier.
    OutputError
        The file cannot be written.
    """
    own = FORMATS[to]
    for name in own.needs:
        if importlib.util.find_spec(name) is None:
            package = {"sklearn": "scikit-learn"}.get(name, name)
            raise ConfigError(
                f"export --to {to} needs {package}, found none: install backprop-cli[{own.extra}]"
            )
    module = importlib.import_module(f"backprop_cli.exports.{own.module}")
    write_atomically(path, module.content(classifier))
    usage: str = module.usage(classifier, path)
    return usage
