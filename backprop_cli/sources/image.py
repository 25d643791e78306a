"""How the features of an example are an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ImageLayout:
    """An image of channels x height x width numbers, stored in one of two orders.

    Models are in channel planes, one plane after the other, each row by row. Arrays of images are
    often interleaved, height x width x channels; they are used as they are, without a copy, and
    what belongs to features (weights, means) is brought into their order.

    Attributes
    ----------
    channels, height, width : int
        The size of the image.
    interleaved : bool
        Whether the channels of a pixel stand together.
    """

    channels: int
    height: int
    width: int
    interleaved: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    @property
    def pixel(self) -> int:
        """Numbers that stand together for one pixel."""
        return self.channels if self.interleaved else 1

    @property
    def line(self) -> int:
        """Numbers that stand together for one row of pixels."""
        return self.width * self.pixel

    def to_planes(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return an array (..., d) in channel planes, from the order in which it is stored."""
        if not self.interleaved:
            return stored
        pixels = stored.reshape(*stored.shape[:-1], -1, self.channels)
        return np.ascontiguousarray(pixels.swapaxes(-1, -2)).reshape(stored.shape)

    def from_planes(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Return an array (..., d) in the order in which images are stored, from channel planes."""
        if not self.interleaved:
            return planes
        by_channel = planes.reshape(*planes.shape[:-1], self.channels, -1)
        return np.ascontiguousarray(by_channel.swapaxes(-1, -2)).reshape(planes.shape)

    def mirror(self, rows: NDArray[Any], mirrored: NDArray[np.bool_]) -> None:
        """Reverse every line of the images that are to be mirrored; rows, n x d, in place."""
        lines = rows.reshape(len(rows), rows.shape[1] // self.line, self.width, self.pixel)
        lines[mirrored] = lines[mirrored, :, ::-1]


def to_planes(image: ImageLayout | None, stored: NDArray[Any]) -> NDArray[Any]:
    """Return an array (..., d) in channel planes; plain features stay as they are."""
    return stored if image is None else image.to_planes(stored)


def from_planes(image: ImageLayout | None, planes: NDArray[Any]) -> NDArray[Any]:
    """Return an array (..., d) in the order in which examples are stored."""
    return planes if image is None else image.from_planes(planes)
