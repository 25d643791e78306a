"""What a data set holds: sizes, classes, types, ranges, and a picture of a few examples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import printable
from backprop_cli.reporting.explain.pictures import photograph
from backprop_cli.reporting.fitted import paragraph, table, titled
from backprop_cli.sources import Dataset, Split, to_planes

_CHUNK_BYTES = 2_000_000
_MAX_PICTURES = 20  # of classes, in a page
_MAX_DRAWN = 4  # in a terminal, two beside each other
_COLUMNS = 36  # of a picture in a terminal; a character is twice as high as wide
_GREYS = " .:-=+*#%@"
_MAX_ROWS = 30  # classes in the terminal's table


@dataclass(frozen=True)
class SplitView:
    """A split: its source's name, its size, its examples by class, and the range of its features.

    ``low`` and ``high`` are those of the finite numbers, ``not_finite`` counts the others.
    """

    source: str
    examples: int
    by_class: tuple[int, ...]
    low: float | None
    high: float | None
    not_finite: int


@dataclass(frozen=True)
class DataView:
    """What a data set holds.

    Attributes
    ----------
    class_names, image_shape, n_features, dtype
        Of the examples, as they are stored.
    splits
        By name: train, validation, test.
    pictures
        One training example of each class that has one: class, and features in channel planes.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    n_features: int
    dtype: str
    splits: dict[str, SplitView]
    pictures: list[tuple[int, NDArray[Any]]]

    def to_mapping(self) -> dict[str, Any]:
        """Return all but the pictures as plain Python objects."""
        return {
            "features": self.n_features,
            "image": self.image_shape,
            "dtype": self.dtype,
            "classes": list(self.class_names),
            "splits": {name: vars(split) for name, split in self.splits.items()},
        }


def describe(dataset: Dataset) -> DataView:
    """Read a data set once, and return what it holds."""
    splits = {
        name: _split_view(split, dataset.n_classes)
        for name in ("train", "validation", "test")
        for split in [dataset.split(name)]
        if split is not None
    }
    train, pictures = dataset.train, []
    if dataset.image_shape is not None:
        labels = train.own_labels()
        for k, first in zip(*np.unique(labels, return_index=True), strict=True):
            features = train.source.gather(train.rows[first : first + 1])[0]
            pictures.append((int(k), to_planes(dataset.image, features)))
    return DataView(
        dataset.class_names,
        dataset.image_shape,
        dataset.n_features,
        str(train.features.dtype),
        splits,
        pictures,
    )


def _split_view(split: Split, n_classes: int) -> SplitView:
    low, high, not_finite = math.inf, -math.inf, 0
    row_bytes = split.features.shape[1] * split.features.dtype.itemsize
    for part in split.blocks(max(1, _CHUNK_BYTES // max(1, row_bytes))):
        block = part.features[part.rows]
        good = np.isfinite(block)
        not_finite += int(good.size - np.count_nonzero(good))
        if good.any():
            low = min(low, float(block.min(where=good, initial=_top(block.dtype))))
            high = max(high, float(block.max(where=good, initial=_bottom(block.dtype))))
    counts = np.bincount(split.own_labels(), minlength=n_classes)
    some = low <= high
    return SplitView(
        split.source.name, len(split), tuple(counts.tolist()),
        low if some else None, high if some else None, not_finite,
    )  # fmt: skip


def _top(dtype: np.dtype[Any]) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _bottom(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _rows(view: DataView) -> list[tuple[str, ...]]:
    """Return the table of splits."""
    rows: list[tuple[str, ...]] = [("split", "examples", "from", "to", "not finite", "files")]
    for name, split in view.splits.items():
        reach = ("-" if v is None else f"{v:.6g}" for v in (split.low, split.high))
        rows.append(
            (name, str(split.examples), *reach, str(split.not_finite), printable(split.source))
        )
    return rows


def _class_rows(view: DataView) -> list[tuple[str, ...]]:
    """Return the table of classes."""
    counts = zip(*(split.by_class for split in view.splits.values()), strict=True)
    return [
        ("class", *view.splits),
        *(
            (printable(name), *map(str, own))
            for name, own in zip(view.class_names, counts, strict=True)
        ),
    ]


def _features(view: DataView) -> str:
    if view.image_shape is None:
        return f"{view.n_features} of {view.dtype}"
    channels, height, width = view.image_shape
    images = f"images of {height} x {width} pixels, {channels} channel{'s' * (channels > 1)}"
    return f"{view.n_features} of {view.dtype}: {images}"


def to_text(view: DataView, width: int) -> str:
    """Return the description for a terminal of so many columns."""
    classes = _class_rows(view)
    more = len(classes) - 1 - _MAX_ROWS
    lines = titled("features", _features(view), width)
    lines += [f"classes     {len(view.class_names)}", ""]
    lines += [*table(_rows(view), width, (0, 5)), ""]
    lines += table(classes[: _MAX_ROWS + 1], width, (0,))
    if more > 0:
        lines.append(f"(and {more} more: --json has them all)")
    return "\n".join([*lines, *_drawn(view, width)])


def _drawn(view: DataView, width: int) -> list[str]:
    """Return a few examples in characters, two beside each other where there is room."""
    drawn = [
        (printable(view.class_names[k]), _characters(features, view.image_shape))
        for k, features in view.pictures[:_MAX_DRAWN]
        if view.image_shape is not None
    ]
    beside = width >= 2 * _COLUMNS + 2 and all(len(name) <= _COLUMNS for name, _ in drawn)
    lines: list[str] = []
    if not beside:
        for name, picture in drawn:
            lines += ["", *paragraph(name, width), *picture]
        return lines
    for first in range(0, len(drawn), 2):
        lines.append("")
        parts = [[name, *picture] for name, picture in drawn[first : first + 2]]
        lines += [
            "  ".join(p.ljust(_COLUMNS) for p in row).rstrip() for row in zip(*parts, strict=True)
        ]
    return lines


def _characters(features: NDArray[Any], shape: tuple[int, int, int] | None) -> list[str]:
    """Return an image in shades of grey, a character for 1 x 2 pixels or more."""
    grey = np.nan_to_num(features.reshape(shape).astype(np.float64)).mean(axis=0)
    step = -(-grey.shape[1] // _COLUMNS)
    grey = grey[:: 2 * step, ::step]
    low, high = float(grey.min()), float(grey.max())
    shades = (grey - low) / ((high - low) or 1.0) * (len(_GREYS) - 1)
    return ["".join(_GREYS[round(shade)] for shade in row) for row in shades]


def to_html(view: DataView) -> str:
    """Return the description as a page of its own."""
    pictures = "".join(
        f'<figure><img src="{photograph(features, view.image_shape)}" alt="">'
        f"<figcaption>{escape(view.class_names[k])}</figcaption></figure>"
        for k, features in view.pictures[:_MAX_PICTURES]
        if view.image_shape is not None
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Data</title>'
        "<style>:root { color-scheme: light dark } body { font: 15px sans-serif; margin: 2em auto;"
        " max-width: 60em; padding: 0 1em } div { overflow-x: auto } td, th { padding: .2em .8em;"
        " text-align: left } figure { display: inline-block; margin: .5em } img { width: 96px;"
        " image-rendering: pixelated }</style></head><body><h1>Data</h1>"
        f"<p>{escape(_features(view))}; {len(view.class_names)} classes</p>"
        f"{_table(_rows(view))}{_table(_class_rows(view))}{pictures}</body></html>\n"
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    def line(tag: str, row: tuple[str, ...]) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in row)}</tr>"

    return (
        f"<div><table>{line('th', rows[0])}{''.join(line('td', r) for r in rows[1:])}</table></div>"
    )
