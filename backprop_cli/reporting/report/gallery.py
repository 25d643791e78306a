"""Images in rows, each below its caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from backprop_cli.reporting.report.theme import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARGIN = 0.04  # inches on each side of an image
_POINT = 1 / 72  # inches


def gallery(
    images: Sequence[NDArray[Any]],
    captions: Sequence[str],
    columns: int,
    side: float,
    fontsize: float,
) -> Figure:
    """Return a figure of images, from left to right and from top to bottom.

    Parameters
    ----------
    images
        Bytes of three colours, or numbers from 0 to 1: of three colours, or grey.
    captions
        As many texts, of equally many lines.
    columns
        How many images a row has.
    side
        The width of a column in inches. The longer side of an image nearly fills it.
    fontsize
        That of the captions in points.
    """
    above = (1.4 * (1 + captions[0].count("\n")) * fontsize + 6) * _POINT
    width, height = columns * side, -(-len(images) // columns) * (side + above)
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    # One system of axes, in inches: one for each image would take several times as long.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(k, columns)
        x, y = (column + 0.5) * side, row * (side + above) + above + side / 2
        scale = (side / 2 - _MARGIN) / max(image.shape[:2])
        down, across = scale * image.shape[0], scale * image.shape[1]
        axes.imshow(
            image, cmap="gray", vmin=0, vmax=1, interpolation="nearest",
            extent=(x - across, x + across, y + down, y - down),
        )  # fmt: skip
        axes.text(x, y - down - 5 * _POINT, caption, ha="center", va="bottom", fontsize=fontsize)
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure
