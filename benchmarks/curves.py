"""The picture of gaps against seconds: ``python -m benchmarks.curves RECORD PICTURE --set NAME``.

RECORD is what ``benchmarks.convergence --record`` wrote.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

_COLORS = {
    "backprop, lbfgs": "#0b57d0", "backprop, mini-batch descent": "#1b7f3b",
    "scikit-learn lbfgs": "#d9730d", "scikit-learn-intelex": "#a3389b", "Cyanure": "#6b6b6b",
}  # fmt: skip
_TITLES = {"cifar10": "CIFAR-10", "fashion_mnist": "Fashion-MNIST"}
_OURS = "backprop"
_LEAST = 2e-7  # of the axis: below that float32 rounds the costs


def points(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return seconds and the least gap until then: the median round, of runs on the way."""
    rounds = sorted(record["rounds"], key=lambda own: own[-1][0])
    seconds, costs = np.array(rounds[len(rounds) // 2]).T
    order = np.argsort(seconds)
    gaps = np.minimum.accumulate(costs[order] / record["best"] - 1)
    return seconds[order], np.maximum(gaps, _LEAST)


def draw(records: Sequence[dict[str, Any]], path: pathlib.Path) -> None:
    """Draw one panel per set."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    panels = sorted({(each["set"], each["l2"]) for each in records}, reverse=True)
    figure, all_axes = plt.subplots(
        1, len(panels), figsize=(5.4 * len(panels), 4.2), sharey=True, squeeze=False
    )
    for axes, (name, l2) in zip(all_axes[0], panels, strict=True):
        for each in records:
            if (each["set"], each["l2"]) == (name, l2):
                _line(axes, each)
        axes.set(xscale="log", yscale="log", xlabel="seconds", ylim=(_LEAST, 2))
        axes.set_title(f"{_TITLES.get(name, name)}, l2 {l2:g}")
        axes.grid(True, which="major", color="#e4e4e4", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.05)
        axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    all_axes[0][0].set_ylabel("relative distance to the optimum, (J - J*) / J*")
    all_axes[0][-1].legend(loc="upper right", fontsize=8.5, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110, facecolor="white")


def _line(axes: Any, record: dict[str, Any]) -> None:
    name = record["contender"]
    seconds, gaps = points(record)
    ours = name.startswith(_OURS)
    axes.plot(seconds, gaps, color=_COLORS.get(name, "#333333"), linewidth=2.2 if ours else 1.4,
              marker="o" if ours else None, markersize=4.5, label=name)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves")
    parser.add_argument("record", type=pathlib.Path)
    parser.add_argument("picture", type=pathlib.Path)
    parser.add_argument("--sets", nargs="*", default=list(_TITLES))
    given = parser.parse_args(arguments)
    lines = [json.loads(line) for line in given.record.read_text().splitlines()]
    # Of our solvers, the curves of many settings; of a peer, what the race has found.
    kept = [
        each for each in lines
        if each["set"] in given.sets and each["contender"] in _COLORS
        and each.get("curve", False) == each["contender"].startswith(_OURS)
    ]  # fmt: skip
    latest = {(each["set"], each["l2"], each["contender"]): each for each in kept}
    draw(list(latest.values()), given.picture)


if __name__ == "__main__":
    main()
