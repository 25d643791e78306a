"""Reading examples to classify, without labels: images, arrays or data files."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backprop_cli.config.schema import Cifar10Data, Cifar100Data, DataSection
from backprop_cli.errors import ConfigError, DataError
from backprop_cli.formats import cifar
from backprop_cli.formats.files import reading
from backprop_cli.formats.idx import read_idx
from backprop_cli.formats.load import check_finite
from backprop_cli.formats.npy import as_features, read_npy, read_npz

_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
_IMAGES = (".png", ".jpg", ".jpeg")
ImageShape = tuple[int, int, int] | None


def read_inputs(
    paths: Sequence[str], data: DataSection, image_shape: ImageShape, dtype: DTypeLike
) -> tuple[list[str], NDArray[Any]]:
    """Read files to classify.

    Parameters
    ----------
    paths
        One or more files: PNG or JPEG, .npy, .npz (its x), IDX, or CIFAR batches.
    data
        The data section of the model's run, for files whose name does not tell their format.
    image_shape
        The model's (channels, height, width); None if it takes plain features.
    dtype
        The model's number type, in which every feature must be finite.

    Returns
    -------
    names
        What to call each of the n examples.
    features
        n x d.

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
        found = _read(path, data, image_shape)
        check_finite(found, np.dtype(dtype), text)
        parts.append(found)
        names += [text] if len(found) == 1 else [f"{text}[{k}]" for k in range(len(found))]
        if found.shape[1] != parts[0].shape[1]:
            raise DataError(
                f"{text}: expected {parts[0].shape[1]} features as in {paths[0]}, "
                f"found {found.shape[1]}"
            )
    return names, parts[0] if len(parts) == 1 else np.concatenate(parts)


def _read(path: pathlib.Path, data: DataSection, image_shape: ImageShape) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix in _IMAGES:
        return _image(path, image_shape)
    if suffix == ".npz":
        return as_features(read_npz(path, ("x",))[0], str(path))[0]
    if suffix == ".npy":
        return as_features(read_npy(path), str(path))[0]
    if isinstance(data, Cifar10Data | Cifar100Data):
        return cifar.read_images(path, data)
    array = read_idx(path)
    if array.ndim != 3:
        raise DataError(f"{path}: expected images, found an array of {array.ndim} dimensions")
    return array.reshape(len(array), -1)


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
