"""CIFAR-like images made from a seed, for a first run and for tests: no download, no files.

Each class has a smooth template. An image is its class's template with a random strength, on
smooth clutter shared by no two images, under random light, with noise on every pixel. A linear
classifier does far better than chance on them and far from perfectly, as on real images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config.data import SyntheticData
from backprop_cli.errors import DataError
from backprop_cli.formats.classes import numbered
from backprop_cli.formats.labels import numbered_labels
from backprop_cli.formats.parts import Part, Parts
from backprop_cli.rng import Stream, generator
from backprop_cli.sources import ImageLayout, Source

_GRID = 4  # templates and clutter are drawn on 4 x 4 points and interpolated in between
_TEMPLATE, _CLUTTER, _LIGHT, _NOISE = 14.0, 28.0, 20.0, 24.0  # grey levels
_CHUNK = 1000  # images whose numbers are drawn together
_PIECE = 20  # images that stay in the cache while they are made


def read(data: SyntheticData) -> Parts:
    """Make the images that a config describes; the same seed gives the same images."""
    for key, part in (("validation", data.validation), ("test", data.test)):
        if isinstance(part, str):
            raise DataError(
                f"data.{key}: expected a count or a fraction, as synthetic data has no files; "
                f"found {part!r}"
            )
    image = ImageLayout(data.channels, data.size, data.size)
    rng = generator(data.seed, Stream.SYNTHETIC)
    smooth = _interpolation(data.size)
    templates = np.float32(_TEMPLATE) * _smooth_images(rng, data.classes, data.channels, smooth)
    labels = rng.integers(data.classes, size=data.examples)
    features = np.empty((data.examples, data.channels * data.size**2), np.uint8)
    noise = np.empty((min(_CHUNK, data.examples), *image.shape), np.float32)
    for first in range(0, data.examples, _CHUNK):
        chunk = labels[first : first + _CHUNK]
        n = len(chunk)
        clutter = _smooth_images(rng, n, data.channels, smooth)
        strength = rng.uniform(0.5, 1.5, size=(n, 1, 1, 1)).astype(np.float32)
        light = _LIGHT * rng.standard_normal((n, 1, 1, 1), np.float32)
        rng.standard_normal(None, np.float32, out=noise[:n])
        for start in range(0, n, _PIECE):
            own = slice(start, min(start + _PIECE, n))
            images = clutter[own]
            images *= _CLUTTER
            images += templates[chunk[own]] * strength[own]
            images += light[own]
            images += np.multiply(noise[own], _NOISE, out=noise[own])
            images += 128.0
            np.clip(images, 0.0, 255.0, out=images)
            features[first + start : first + own.stop] = images.reshape(len(images), -1)
    name = "synthetic data"
    source = Source(features, np.empty(0, np.int64), name, image)
    return Parts(
        train=Part(source, numbered_labels(labels, name)),
        validation=None,
        test=None,
        class_names=numbered(data.classes),
    )


def _interpolation(size: int) -> NDArray[np.float32]:
    """Return the size x 4 matrix that interpolates linearly between four points."""
    at = np.linspace(0, _GRID - 1, size)
    points = np.arange(_GRID)
    return np.maximum(0.0, 1.0 - np.abs(at[:, None] - points)).astype(np.float32)


def _smooth_images(
    rng: np.random.Generator, n: int, channels: int, smooth: NDArray[np.float32]
) -> NDArray[np.float32]:
    grid = rng.standard_normal((n, channels, _GRID, _GRID), np.float32)
    images: NDArray[np.float32] = np.matmul(np.matmul(smooth, grid), smooth.T)
    return images
