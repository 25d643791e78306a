"""The picture of a learning-rate range test."""

from __future__ import annotations

import pathlib

from backprop_cli.atomic import write_atomically
from backprop_cli.reporting.report.theme import LIGHT, drawing_in, new_figure, to_png
from backprop_cli.solvers.rate_range import RateRange


def write_rates(path: pathlib.Path, found: RateRange) -> None:
    """Draw the losses by the learning rate, with the rates that they suggest, as a PNG.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    with drawing_in(LIGHT):
        figure = new_figure(8.0, 4.6)
        axes = figure.subplots()
        axes.plot(found.rates, found.losses, color=LIGHT.first, alpha=0.35, label="per mini-batch")
        axes.plot(found.rates, found.smoothed, color=LIGHT.first, label="smoothed")
        axes.axvline(found.steepest, color=LIGHT.second, label=f"steepest, {found.steepest:.2g}")
        axes.axvline(
            found.lowest, color=LIGHT.mark, linestyle=":", label=f"lowest, {found.lowest:.2g}"
        )
        top = max(2.5 * float(found.smoothed[0]), float(found.smoothed.min()) * 1.5)
        axes.set_ylim(0, top)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # the theme writes no mathematics
        axes.set_xlabel("learning rate, rising from step to step")
        axes.set_ylabel("loss")
        axes.grid(visible=True)
        axes.legend()
        content = to_png(figure)
    write_atomically(path, content)
