"""The weights of each class as half-block characters in colours, for a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError, printable
from backprop_cli.reporting.report.view import RunView

_MAX_SIDE = 32  # pixels of a picture; one character is one pixel wide and two high
_MAX_CLASSES = 20
_WITHIN = 0.995  # the share of the weights within the scale
_UPPER_HALF = "▀"
_RESET = "\x1b[0m"


def to_blocks(view: RunView, width: int) -> str:
    """Return the templates side by side, as many as fit in so many columns.

    Middle grey is 0; black and white are as far from it as the largest weights.

    Raises
    ------
    DataError
        The features are not images.
    """
    if view.image_shape is None:
        raise DataError(f"{view.name}: --templates needs a model of images, found plain features")
    weights = view.weights[:_MAX_CLASSES].reshape(-1, *view.image_shape)
    limit = float(np.quantile(np.abs(weights), _WITHIN)) or 1.0
    shades = np.clip(0.5 + weights / (2 * limit), 0, 1)
    if shades.shape[1] != 3:
        shades = np.repeat(shades.mean(axis=1, keepdims=True), 3, axis=1)
    room = max(4, (width + 1) // 5 - 1) if width >= 60 else max(4, width // 2 - 1)
    pictures = [_smaller(picture, min(_MAX_SIDE, room)) for picture in shades]
    pixels = np.round(255 * np.stack(pictures)).astype(int).transpose(0, 2, 3, 1)
    across = pixels.shape[2]
    per_line = max(1, (width + 1) // (across + 1))
    single = len(view.weights) == 1
    names = [view.class_names[1]] if single else list(view.class_names)
    lines = []
    for first in range(0, len(pixels), per_line):
        some = range(first, min(first + per_line, len(pixels)))
        for y in range(0, pixels.shape[1], 2):
            lines.append(" ".join(_line(pixels[k], y) for k in some))
        titles = (f"{printable(names[k])[:across]:<{across}}" for k in some)
        lines.append(" ".join(titles).rstrip())
    if len(view.weights) > _MAX_CLASSES:
        lines.append(f"({_MAX_CLASSES} of {len(view.weights)} classes)")
    return "\n".join(lines)


def _smaller(picture: NDArray[Any], side: int) -> NDArray[Any]:
    """Return a picture, channels x height x width, of at most so many pixels a side, by means."""
    k = max(1, -(-max(picture.shape[1:]) // side))
    height, width = (-(-size // k) * k for size in picture.shape[1:])
    padded = np.pad(
        picture,
        ((0, 0), (0, height - picture.shape[1]), (0, width - picture.shape[2])),
        mode="edge",
    )
    smaller: NDArray[Any] = padded.reshape(len(picture), height // k, k, width // k, k).mean(
        axis=(2, 4)
    )
    return smaller


def _line(picture: NDArray[Any], y: int) -> str:
    """Return two rows of pixels as one of characters: the upper one in front, the lower behind."""
    cells = []
    for x in range(picture.shape[1]):
        upper = ";".join(map(str, picture[y, x]))
        code = f"\x1b[38;2;{upper}"
        if y + 1 < len(picture):
            code += f";48;2;{';'.join(map(str, picture[y + 1, x]))}"
        cells.append(f"{code}m{_UPPER_HALF}")
    return "".join(cells) + _RESET
