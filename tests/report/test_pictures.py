"""The pictures of a page: the same ones in both themes, and what they show where."""

import io
import subprocess
import sys
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from backprop_cli.reporting.report.load import run_view
from backprop_cli.runs.opened import open_run

pytest.importorskip("matplotlib", reason="needs the extra: plot")

from PIL import Image

from backprop_cli.reporting.report import plots
from backprop_cli.reporting.report.gallery import gallery
from backprop_cli.reporting.report.theme import DARK, LIGHT, drawing_in, in_both_themes, to_png
from backprop_cli.reporting.report.view import RunView

DPI = 130


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def colour(text):
    return np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)])


@pytest.mark.parametrize("name", [name for name, _, _ in plots.PICTURES])
def test_both_themes_show_the_same_in_the_same_places(runs, name):
    view = run_view(open_run(str(runs["images"])), "test")
    make = {known: maker for known, _, maker in plots.PICTURES}[name]
    light, dark, text = in_both_themes(lambda theme: make(view, theme))
    drawn = []
    for png, theme in ((light, LIGHT), (dark, DARK)):
        picture, paper = pixels(png), colour(theme.paper)
        np.testing.assert_array_equal(picture[0, 0], paper)
        drawn.append((picture != paper).any(axis=-1))
    assert drawn[0].shape == drawn[1].shape
    # All but the palest edges of letters and lines, which one of the papers may hide.
    assert (drawn[0] != drawn[1]).mean() < 0.002 < drawn[0].mean()
    assert len(text) > 20


def test_a_picture_is_laid_out_once_and_drawn_once_for_each_theme(runs, monkeypatch):
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    counts = {"draw": 0, "execute": 0}

    def counted(kind, name):
        before = getattr(kind, name)

        def counting(self, *args):
            counts[name] += 1
            return before(self, *args)

        monkeypatch.setattr(kind, name, counting)

    counted(Figure, "draw")
    counted(ConstrainedLayoutEngine, "execute")
    view = run_view(open_run(str(runs["images"])), "test")
    assert in_both_themes(lambda theme: plots.curves(view, theme)) is not None
    assert counts == {"draw": 2, "execute": 1}


def test_images_of_a_gallery_are_where_they_belong():
    """A square of bytes, a wide grey image and a high one, in two rows of two columns."""
    red = np.zeros((2, 2, 3), np.uint8) + np.array([200, 10, 20], np.uint8)
    wide, high = np.full((1, 4), 0.5), np.ones((4, 1))
    side = 2.0
    with drawing_in(DARK):
        picture = pixels(to_png(gallery([red, wide, high], ["", "", ""], 2, side, 8)))
    height, width = picture.shape[:2]
    assert width == 2 * side * DPI
    row = height / 2  # the lower part of a row is the image's, of which it fills all but a margin
    middles = [(row - side / 2 * DPI + down * row, (across + 0.5) * side * DPI)
               for down, across in ((0, 0), (0, 1), (1, 0), (1, 1))]  # fmt: skip
    colours = [[200, 10, 20], [128] * 3, [255] * 3, colour(DARK.paper)]
    for (y, x), expected in zip(middles, colours, strict=True):
        np.testing.assert_allclose(picture[int(y), int(x)], expected, atol=1)
    for index, shares in ((0, (1, 1)), (1, (1 / 4, 1)), (2, (1, 1 / 4))):
        shown = (np.abs(picture - colours[index]) <= 1).all(axis=-1)
        down, across = (np.ptp(places) + 1 for places in np.nonzero(shown))
        np.testing.assert_allclose(
            (down, across), np.multiply(shares, side * DPI), rtol=0.06, atol=2
        )


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_grey_examples_reach_from_black_to_white(dtype):
    image = plots._image(np.array([10, 20, 30, 60], dtype), (1, 2, 2))
    np.testing.assert_allclose(image, [[0, 0.2], [0.4, 1]], atol=1e-6)


def test_bytes_in_colours_are_shown_as_they_are():
    planes = np.arange(12, dtype=np.uint8)
    image = plots._image(planes, (3, 2, 2))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image[1, 0], [2, 6, 10])


def test_pyplot_is_not_imported(runs, tmp_path):
    """It takes time that no picture needs, and looks for a screen."""
    code = (
        "import sys\n"
        "from backprop_cli.cli.main import cli\n"
        f"cli(['report', {str(runs['one epoch'])!r}], standalone_mode=False)\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.parametrize(
    ("recalls", "said"),
    [
        ((0.5, 0.5), "Recall is 50.0 % for every class."),
        ((0.25, 0.5), "Recall is lowest for a (25.0 %) and highest for b (50.0 %)."),
    ],
)
def test_what_is_said_of_the_recall_of_the_classes(recalls, said):
    rows = [
        SimpleNamespace(name=name, precision=0.5, recall=recall)
        for name, recall in zip("ab", recalls, strict=True)
    ]
    view = cast(RunView, SimpleNamespace(shown=SimpleNamespace(classes=rows)))
    _, text = plots.classes(view, LIGHT)
    assert text.endswith(said)
