"""NumPy: plain arrays in an .npz."""

from __future__ import annotations

import io
import pathlib

import numpy as np

from backprop_cli.exports.raw import RawClassifier


def content(classifier: RawClassifier) -> bytes:
    """Return the file: weights, C x d, bias and class_names, C each."""
    stream = io.BytesIO()
    np.savez(
        stream,
        weights=classifier.weights,
        bias=classifier.bias,
        class_names=np.array(classifier.class_names),
    )
    return stream.getvalue()


def usage(classifier: RawClassifier, path: pathlib.Path) -> str:
    """Return the lines of Python that load the file."""
    return "\n".join(
        [
            "import numpy as np",
            f"with np.load({str(path)!r}) as file:",
            "    model = dict(file)",
            f"scores = x @ model['weights'].T + model['bias']  # x: n x "
            f"{classifier.weights.shape[1]}",
            "decisions = model['class_names'][scores.argmax(axis=1)]",
        ]
    )
