"""The two themes of the pictures, and how a figure is drawn in both of them."""

from __future__ import annotations

import contextlib
import io
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """Colours on light or on dark that colour-blind readers can tell apart (Okabe and Ito)."""

    paper: str
    ink: str
    soft: str
    first: str
    second: str
    mark: str
    map: str

    def style(self) -> dict[str, Any]:
        """Return the settings of matplotlib."""
        return {
            "figure.facecolor": self.paper, "axes.facecolor": self.paper,
            "text.color": self.ink,
            "axes.labelcolor": self.ink, "axes.edgecolor": self.soft,
            "axes.titlecolor": self.ink, "xtick.color": self.ink, "ytick.color": self.ink,
            "grid.color": self.soft, "grid.alpha": 0.3, "font.size": 10, "axes.titlesize": 11,
            "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 130,
            "legend.frameon": False, "axes.axisbelow": True, "figure.constrained_layout.use": True,
            "axes.titley": 1.0,  # where matplotlib puts titles too, after a search that takes long
            "text.parse_math": False,  # names are not formulas
        }  # fmt: skip


LIGHT = Theme("#ffffff", "#16202c", "#5b6875", "#0072b2", "#d55e00", "#16202c", "Blues")
DARK = Theme("#161c24", "#e9eef4", "#93a1b0", "#56b4e9", "#e69f00", "#e9eef4", "cividis")

Picture = tuple["Figure", str]
Maker = Callable[[Theme], Picture | None]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


@contextlib.contextmanager
def drawing_in(theme: Theme) -> Iterator[None]:
    """Let matplotlib draw in a theme, whatever the settings of the user."""
    import matplotlib as mpl

    # To set the backend, even to what it is, imports pyplot, which nothing here needs.
    defaults = {key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"}
    with mpl.rc_context({**defaults, **theme.style()}), warnings.catch_warnings():
        # Names may be in any script; letters that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def in_both_themes(make: Maker) -> tuple[bytes, bytes, str] | None:
    """Return a picture as PNG, light and dark, and the text that describes it.

    Return None if ``make`` has nothing to draw.
    """
    drawn: list[bytes] = []
    laid_out: Figure | None = None
    for theme in (LIGHT, DARK):
        with drawing_in(theme):
            made = make(theme)
            if made is None:
                return None
            figure, text = made
            if laid_out is not None:
                _place_alike(figure, laid_out)
            drawn.append(to_png(figure))
            laid_out = figure
    light, dark = drawn
    return light, dark, text


def _place_alike(figure: Figure, laid_out: Figure) -> None:
    """Place the axes of a figure as in another theme: to lay it out takes as long as to draw it."""
    figure.set_layout_engine("none")
    for axes, placed in zip(figure.axes, laid_out.axes, strict=True):
        axes.set_position(placed.get_position(original=True))


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    stream = io.BytesIO()
    # Unlike Figure.savefig, this does not draw the figure a first time to lay it out.
    FigureCanvasAgg(figure).print_png(
        stream,
        metadata={"Software": None},
        # Areas of one colour are runs: to look for more takes twice as long and gains a tenth.
        pil_kwargs={"compress_type": zlib.Z_RLE},
    )
    return stream.getvalue()
