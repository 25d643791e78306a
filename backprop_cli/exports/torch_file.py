"""PyTorch: the state_dict of an nn.Linear, in safetensors."""

from __future__ import annotations

import json
import pathlib

from safetensors.numpy import save

from backprop_cli.exports.raw import RawClassifier


def content(classifier: RawClassifier) -> bytes:
    """Return the file: weight, C x d, and bias, C, in float32.

    Raises
    ------
    ConfigError
        A weight is too large.
    """
    weights, bias = classifier.float32("torch")
    tensors = {"weight": weights, "bias": bias}
    about = {"class_names": list(classifier.class_names), "features": classifier.features}
    return save(tensors, {"backprop": json.dumps(about, sort_keys=True)})


def usage(classifier: RawClassifier, path: pathlib.Path) -> str:
    """Return the lines of Python that load the file."""
    n_classes, d = classifier.weights.shape
    return "\n".join(
        [
            "import torch",
            "from safetensors.torch import load_file",
            f"layer = torch.nn.Linear({d}, {n_classes})",
            f"layer.load_state_dict(load_file({str(path)!r}))",
            f"probabilities = layer(torch.from_numpy(x)).softmax(dim=1)  # x: float32, n x {d}",
        ]
    )
