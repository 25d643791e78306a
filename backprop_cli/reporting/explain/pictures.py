"""Small pictures as PNG data: photographs and signed values."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.reporting.explain.explanation import Array

# Blue for negative, nearly white for 0, orange for positive: safe for colour-blind readers.
# The pale range is short, so that small values remain visible beside large ones.
_STOPS = {
    -1.0: (31, 95, 168),
    -0.3: (146, 191, 224),
    0.0: (247, 247, 245),
    0.3: (247, 178, 122),
    1.0: (196, 81, 12),
}
_LEVELS = 255  # odd, so that 0 has a colour of its own
_MAX_PIXELS = 64  # per side; of a larger picture, only every k-th pixel is shown
_MAX_STRIP_LENGTH = 1024

LEGEND = ", ".join(f"rgb{colour} {50 + 50 * place:g}%" for place, colour in _STOPS.items())
"""The colours from negative to positive, for a CSS gradient."""


def photograph(features: NDArray[Any], image_shape: tuple[int, int, int]) -> str:
    """Return an example's image as a data URI.

    Parameters
    ----------
    features
        d numbers, one channel after the other. Unless they are bytes, they are scaled so that the
        smallest is black and the largest white.
    image_shape
        (channels, height, width). Three channels are red, green and blue; otherwise their mean is
        shown in grey.
    """
    planes = _thinned(features.reshape(image_shape)).astype(np.float64)
    if len(planes) != 3:
        planes = np.repeat(planes.mean(axis=0, keepdims=True), 3, axis=0)
    if features.dtype != np.uint8:
        low, high = planes.min(), planes.max()
        planes = (planes - low) * (255 / (high - low) if high > low else 0)
    pixels = np.round(planes).astype(np.uint8).transpose(1, 2, 0)
    return _data_uri(_png(pixels, colour_type=2))


def signed(values: Array, limit: float) -> str:
    """Return a height x width picture as a data URI: from blue, -limit, to orange, limit."""
    values = _thinned(values)
    scaled = np.nan_to_num(values / limit if limit else values, posinf=1.0, neginf=-1.0)
    half = _LEVELS // 2
    levels = np.round(np.clip(scaled, -1, 1) * half).astype(int) + half
    places = np.linspace(-1, 1, _LEVELS)
    channels = zip(*_STOPS.values(), strict=True)
    palette = np.transpose([np.interp(places, list(_STOPS), channel) for channel in channels])
    chunk = _chunk(b"PLTE", np.round(palette).astype(np.uint8).tobytes())
    return _data_uri(_png(levels.astype(np.uint8), colour_type=3, palette=chunk))


def _thinned(image: NDArray[Any]) -> NDArray[Any]:
    """Return every k-th pixel of a large image or strip, (...) x height x width."""
    height, width = image.shape[-2:]
    k = -(-max(height, width) // (_MAX_PIXELS if height > 1 else _MAX_STRIP_LENGTH))
    return image[..., ::k, ::k]


def _png(pixels: NDArray[np.uint8], colour_type: int, palette: bytes = b"") -> bytes:
    """Return a PNG file of 8-bit pixels, height x width (x 3)."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    unfiltered = np.hstack([np.zeros((height, 1), np.uint8), rows])  # filter type 0 for each row
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            palette,
            _chunk(b"IDAT", zlib.compress(unfiltered.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
