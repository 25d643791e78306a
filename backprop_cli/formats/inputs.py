"""Reading examples to classify, without labels: images, arrays or data files."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.data import Cifar10Data, Cifar100Data, DataSection
from backprop_cli.errors import ConfigError, DataError
from backprop_cli.formats import cifar
from backprop_cli.formats.arrays import read_npy, read_npz
from backprop_cli.formats.files import reading
from backprop_cli.formats.idx import read_idx
from backprop_cli.formats.npy import as_features
from backprop_cli.model import LinearModel
from backprop_cli.sources import ImageLayout, Source, WatchedFile, check_features, to_planes

_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
_IMAGES = (".png", ".jpg", ".jpeg")
ImageShape = tuple[int, int, int] | None


def read_inputs(
    paths: Sequence[str], data: DataSection, model: LinearModel
) -> tuple[list[str], Source]:
    """Read files to classify.

    Parameters
    ----------
    paths
        One or more files: PNG or JPEG, .npy, .npz (its x), IDX, or CIFAR batches.
    data
        The data section of the model's run, for files whose name does not tell their format.
    model
        Says how large examples are, and in which number type they must be finite.

    Returns
    -------
    names
        What to call each of the n examples.
    source
        The examples, without labels.

    Raises
    ------
    DataError
        If a file cannot be used. The message names it, what was expected and what was found.
    ConfigError
        If Pillow is needed and not installed.
    """
    names: list[str] = []
    parts = []
    for text in paths:
        try:
            path = pathlib.Path(text).expanduser()
        except RuntimeError as error:
            raise DataError(f"{text}: there is no such user") from error
        with reading(text):
            if not path.is_file():
                raise DataError(f"{text}: expected a file, found none")
        files = (WatchedFile.opened(path),) if path.suffix.lower() == ".npy" else ()
        features, image = _read(path, data, model.image_shape)
        if not len(features):
            raise DataError(f"{text}: expected examples, found none")
        part = Source(features, np.empty(0, np.int64), text, image, files)
        model.check(part)
        standardization = model.standardization_for(image)
        check_features(part, standardization, model.weights.dtype)
        parts.append(part)
        names += [text] if len(part) == 1 else [f"{text}[{k}]" for k in range(len(part))]
    if len(parts) == 1:
        return names, parts[0]
    planes = [to_planes(part.image, part.features) for part in parts]
    features = np.concatenate(planes)
    watched = tuple(file for part in parts for file in part.files)
    return names, Source(features, np.empty(0, np.int64), ", ".join(paths), files=watched)


def _read(
    path: pathlib.Path, data: DataSection, image_shape: ImageShape
) -> tuple[NDArray[Any], ImageLayout | None]:
    """Return n x d features, and how they are images."""
    suffix = path.suffix.lower()
    if suffix in _IMAGES:
        return _image(path, image_shape), None
    if suffix == ".npz":
        return as_features(read_npz(path, ("x",))[0], str(path))
    if suffix == ".npy":
        return as_features(read_npy(path), str(path))
    if isinstance(data, Cifar10Data | Cifar100Data):
        return cifar.read_images(path, data), cifar.IMAGE
    array = read_idx(path)
    if array.ndim != 3:
        raise DataError(f"{path}: expected images, found an array of {array.ndim} dimensions")
    return as_features(array, str(path))


def _image(path: pathlib.Path, image_shape: ImageShape) -> NDArray[np.uint8]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ConfigError(
            f"{path}: reading an image needs Pillow: install backprop-cli[images]"
        ) from error
    if image_shape is None:
        raise DataError(f"{path}: the model takes plain features, not images")
    channels, height, width = image_shape
    with reading(path):
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if image.mode not in _MODES:
                    raise DataError(f"{path}: expected 8 bits per channel, found mode {image.mode}")
                if image.size != (width, height):
                    raise DataError(
                        f"{path}: expected an image of {width} x {height} pixels as the model has, "
                        f"found {image.width} x {image.height}"
                    )
                pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
        except (
            UnidentifiedImageError,
            Image.DecompressionBombError,
            SyntaxError,
            ValueError,
        ) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path}: not an image that Pillow can read") from error
    planes = pixels.reshape(height, width, channels if channels == 3 else 1).transpose(2, 0, 1)
    return np.ascontiguousarray(planes).reshape(1, -1)
