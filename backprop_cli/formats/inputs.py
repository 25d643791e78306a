"""Reading examples to classify, without labels: images, arrays or data files."""

from __future__ import annotations

import glob
import pathlib
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.data import Cifar10Data, Cifar100Data, DataSection, NpyData
from backprop_cli.errors import ConfigError, DataError
from backprop_cli.formats import cifar
from backprop_cli.formats.feature_files import as_features, find_features, is_feature_file
from backprop_cli.formats.files import reading
from backprop_cli.formats.idx import read_idx
from backprop_cli.formats.memory import memory_limit
from backprop_cli.formats.npy import array_names
from backprop_cli.model import LinearModel
from backprop_cli.regular import open_regular
from backprop_cli.sources import ImageLayout, Source, check_features, to_planes

_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
_FORMATS = ("PNG", "JPEG")
_IMAGES = (".png", ".jpg", ".jpeg")
ImageShape = tuple[int, int, int] | None


class Numbered(Sequence[str]):
    """The names of the examples of a file, FILE[0], FILE[1] and so on; made when they are used."""

    def __init__(self, file: str, n: int) -> None:
        self._file, self._range = file, range(n)

    def __len__(self) -> int:
        return len(self._range)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, int):
            return f"{self._file}[{self._range[at]}]"
        return [f"{self._file}[{k}]" for k in self._range[at]]


def read_inputs(
    paths: Sequence[str], data: DataSection, model: LinearModel
) -> tuple[Sequence[str], Source]:
    """Read files to classify.

    Parameters
    ----------
    paths
        One or more files: PNG or JPEG, .npy, .npz, .safetensors, IDX, or CIFAR batches.
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
    names: list[Sequence[str]] = []
    parts = []
    for text in paths:
        try:
            path = pathlib.Path(text).expanduser()
        except RuntimeError as error:
            raise DataError(f"{text}: there is no such user") from error
        with reading(text):
            # Of a pattern, or of what is no regular file, `find_features` says what is wrong.
            told = is_feature_file(path) and (glob.has_magic(text) or path.exists())
            if not path.is_file() and not told:
                found = "a folder; name its files" if path.is_dir() else "none"
                raise DataError(f"{text}: expected a file, found {found}")
        part = _read(text, data, model.image_shape)
        if not len(part):
            raise DataError(f"{text}: expected examples, found none")
        model.check(part)
        standardization = model.standardization_for(part.image)
        check_features(part, standardization, model.weights.dtype)
        parts.append(part)
        names.append([text] if len(part) == 1 else Numbered(text, len(part)))
    if len(parts) == 1:
        return names[0], parts[0]
    planes = [to_planes(part.image, part.gather(np.arange(len(part)))) for part in parts]
    features = np.concatenate(planes)
    watched = tuple(file for part in parts for file in part.files)
    every = [name for own in names for name in own]
    return every, Source(features, np.empty(0, np.int64), ", ".join(paths), files=watched)


def _read(text: str, data: DataSection, image_shape: ImageShape) -> Source:
    """Return the examples of a file."""
    path = pathlib.Path(text).expanduser()
    suffix = path.suffix.lower()
    if is_feature_file(path):
        limit = memory_limit(data.memory if isinstance(data, NpyData) else "auto")
        found = find_features(text, array_names(data))
        if not found.in_blocks:  # then what the run was allowed is of no use
            limit = memory_limit("auto")
        return found.source(None if limit is None or found.size <= limit else limit)
    image: ImageLayout | None = None
    if suffix in _IMAGES:
        features: NDArray[Any] = _image(path, image_shape)
    elif isinstance(data, Cifar10Data | Cifar100Data):
        features, image = cifar.read_images(path, data), cifar.IMAGE
    else:
        try:
            array = read_idx(path)
        except DataError:
            if isinstance(data, NpyData):
                find_features(text, array_names(data))  # it says what such a file may be
            raise
        if array.ndim != 3:
            raise DataError(f"{path}: expected images, found an array of {array.ndim} dimensions")
        features, image = as_features(array, str(path))
    return Source(features, np.empty(0, np.int64), text, image)


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
            with open_regular(path) as stream, Image.open(stream, formats=_FORMATS) as image:
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
