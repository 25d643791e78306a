"""The safetensors file that a model is kept in."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import save

from backprop_cli.atomic import write_atomically
from backprop_cli.config import Config
from backprop_cli.config.values import MAX_CLASSES, LossName
from backprop_cli.errors import ModelFileError
from backprop_cli.model import LinearModel
from backprop_cli.runs.stored import Number, Stored, parsed, problem
from backprop_cli.runs.tensors import read_tensors
from backprop_cli.sources import MIN_STD, Standardization

FILE_NAME = "model.safetensors"
_KEY = "backprop"  # one key: safetensors does not promise an order to several
_TENSORS = ("weights", "bias", "feature_mean", "feature_std")


class _About(Stored):
    """What the metadata says of a model."""

    classes: Annotated[list[str], Field(min_length=2, max_length=MAX_CLASSES)]
    image_shape: Annotated[tuple[Number, Number, Number], Field(strict=False)] | None
    loss: LossName


def save_model(path: pathlib.Path, model: LinearModel, config: Config) -> None:
    """Write a model; the same model and config give the same bytes.

    The config goes along without the keys that say where files are: they do not shape the model.
    """
    from backprop_cli import __version__

    settings = config.to_mapping()
    data = settings["data"]
    for key in config.data.file_keys():
        value = data.pop(key)
        if key in config.data.part_keys:
            data[key] = pathlib.PurePath(value).name if isinstance(value, str) else value
    about = {
        "classes": model.class_names,
        "image_shape": model.image_shape,
        "loss": model.loss,
        "config": {**settings, "data": data, "output": None},
        "versions": {"backprop": __version__, "numpy": np.__version__},
    }
    tensors = {
        "weights": model.weights,
        "bias": model.bias,
        "feature_mean": model.standardization.mean,
        "feature_std": model.standardization.std,
    }
    write_atomically(path, save(tensors, {_KEY: json.dumps(about, sort_keys=True)}))


def load_model(path: pathlib.Path) -> LinearModel:
    """Read a model and check that its parts fit together.

    Raises
    ------
    ModelFileError
        The file is missing, broken, or not one of ours.
    """
    try:
        metadata, tensors = read_tensors(path, "model file")
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: no such file; is it a run's folder?") from error
    try:
        about = _About.model_validate(parsed(metadata.get(_KEY, "")))
    except ValueError as error:
        raise ModelFileError(
            f"{path}: expected a model trained by backprop, found another file: {problem(error)}"
        ) from error
    missing = sorted(set(_TENSORS) - set(tensors))
    if missing:
        raise ModelFileError(f"{path}: expected a tensor {missing[0]!r}, found none")
    model = LinearModel(
        tensors["weights"],
        tensors["bias"],
        Standardization(tensors["feature_mean"], tensors["feature_std"]),
        tuple(about.classes),
        about.image_shape,
        about.loss,
    )
    _check(model, path)
    return model


def _check(model: LinearModel, path: pathlib.Path) -> None:
    weights, n_classes = model.weights, model.n_classes

    def expect(good: bool, what: str, array: NDArray[Any]) -> None:
        if not good:
            sizes = " x ".join(map(str, array.shape))
            raise ModelFileError(f"{path}: expected {what}, found {sizes} of {array.dtype}")

    floats = (np.float32, np.float64)
    expect(
        weights.ndim == 2
        and weights.dtype in floats
        and weights.shape[1] > 0
        and weights.shape[0] in ((1, n_classes) if n_classes == 2 else (n_classes,)),
        f"weights of {n_classes} classes x features",
        weights,
    )
    n_outputs, d = weights.shape
    expect(
        model.bias.shape == (n_outputs,) and model.bias.dtype == weights.dtype,
        f"{n_outputs} biases",
        model.bias,
    )
    for name, array in vars(model.standardization).items():
        expect(array.shape == (d,) and array.dtype == np.float64, f"{d} of feature_{name}", array)
        expect(bool(np.isfinite(array).all()), f"finite numbers in feature_{name}", array)
    if model.image_shape is not None:
        fits = math.prod(model.image_shape) == d and min(model.image_shape) > 0
        expect(fits, f"images of {d} pixels", np.empty(model.image_shape if fits else 0))
    least = float(model.standardization.std.min())
    expect(least >= MIN_STD, f"feature_std of at least {MIN_STD}", model.standardization.std)
    expect(bool(np.isfinite(weights).all()), "finite weights", weights)
    expect(bool(np.isfinite(model.bias).all()), "finite biases", model.bias)
