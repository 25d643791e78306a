"""Comparing several runs, or the models of a sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from backprop_cli.evaluation.measures import MEASURES
from backprop_cli.reporting.report.page import Section, page, percent, picture_section, table
from backprop_cli.reporting.report.plots import readable_on, whole_epochs
from backprop_cli.reporting.report.theme import Picture, Theme, new_figure
from backprop_cli.reporting.report.view import RunView

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#999999")
_DASHES = ("-", "--", "-.", ":")
_NOT_COMPARED = ("output", "recorded")


def comparison_page(views: Sequence[RunView]) -> str:
    """Return a page with the curves of the runs, the settings that differ, and the results."""
    sections = []
    if any(view.history for view in views):
        made = picture_section("comparison", "Validation", lambda theme: _curves(views, theme))
        sections += [made[0]] if made else []
    sections.append(Section("settings", "Settings that differ", _settings(views)))
    sections.append(Section("results", "Results", _results(views)))
    names = ", ".join(view.name for view in views)
    return page(f"{len(views)} runs", names, sections, "")


def sweep_section(view: RunView) -> Section | None:
    """Return the section on the models of a sweep, or None for an ordinary run."""
    if view.sweep is None:
        return None
    rows = [
        row
        for row in view.sweep
        if row["validation_accuracy"] is not None and row["diverged"] is None
    ]
    if not rows:
        return None
    made = picture_section(
        "sweep",
        f"The {len(view.sweep)} models of the sweep",
        lambda theme: _sweep(view.sweep or [], rows, theme),
    )
    return made[0] if made else None


def _curves(views: Sequence[RunView], theme: Theme) -> Picture:
    figure = new_figure(9.6, 3.9 + 0.2 * len(views))
    shown = [("validation_loss", "Validation loss", 1)] if one_kind_of_loss(views) else []
    shown.append(("validation_accuracy", "Validation accuracy in %", 100))
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for k, view in enumerate(views):
        style = {
            "color": _COLOURS[k % len(_COLOURS)],
            "linestyle": _DASHES[k // len(_COLOURS) % len(_DASHES)],
        }
        for axes, (key, _, scale) in zip(panels, shown, strict=True):
            known = [line for line in view.history if line[key] is not None]  # evaluated
            at, values = [line["epoch"] for line in known], [scale * line[key] for line in known]
            marker, label = "o" if len(at) == 1 else "", view.name if axes is panels[0] else None
            axes.plot(at, values, label=label, marker=marker, **style)
    for axes, (_, title, _) in zip(panels, shown, strict=True):
        axes.set_title(title)
        axes.set_xlabel(" or ".join(dict.fromkeys(view.unit for view in views)))
        axes.grid(visible=True)
        whole_epochs(axes, max(len(view.history) for view in views))
    figure.legend(loc="outside lower center", ncols=1 if len(views) < 3 else 2, fontsize=8)
    return figure, f"Curves of {', '.join(view.name for view in views)}."


def _settings(views: Sequence[RunView]) -> str:
    flat = [dict(_flat(view.config)) for view in views]
    keys = [
        key
        for key in dict.fromkeys(k for one in flat for k in one)
        if key.split(".")[0] not in _NOT_COMPARED
    ]
    shown = {key: [json.dumps(one.get(key, None)).strip('"') for one in flat] for key in keys}
    differing = {key: values for key, values in shown.items() if len(set(values)) > 1}
    if not differing:
        return '<p class="note">None.</p>'
    return _by_run({"run": [view.name for view in views], **differing})


def _results(views: Sequence[RunView]) -> str:
    """Return a table for each split, with one row per run; the best of each column is bold.

    Unless the runs have different data: their figures then do not compare.
    """
    names = [view.name for view in views]
    same_data = len({(view.config.get("recorded") or {}).get("data") for view in views}) == 1
    parts = []
    for split in dict.fromkeys(split for view in views for split in view.evaluations):
        there = [view.evaluations.get(split) for view in views]
        columns: dict[str, list[str]] = {f"on {split}": names}
        best: set[tuple[int, int]] = set()
        for name, measure in MEASURES.items():
            values = [math.nan if e is None else e.measures.get(name, math.nan) for e in there]
            if not all(map(math.isnan, values)):
                best.update((row, len(columns)) for row in _where(values, np.nanmax(values)))
                columns[measure.title] = [*map(_percent, values)]
        losses = [math.nan if e is None else e.loss for e in there]
        if one_kind_of_loss(views):
            best.update((row, len(columns)) for row in _where(losses, np.nanmin(losses)))
        columns["loss"] = ["-" if math.isnan(v) else f"{v:.4f}" for v in losses]
        parts.append(_by_run(columns, frozenset(best if same_data else ())))
    if not same_data:
        parts.append('<p class="note">The runs have different data, so none is marked best.</p>')
    elif not one_kind_of_loss(views):
        parts.append(
            '<p class="note">The losses are of different kinds, so they are not compared.</p>'
        )
    seconds = [sum(line["seconds"] for line in view.history) for view in views]
    training = {
        "training": names,
        "epoch kept": [str(view.kept_epoch) if view.unit == "epoch" else "-" for view in views],
        " or ".join(dict.fromkeys(f"{view.unit}s" for view in views)): [
            str(len(view.history)) for view in views
        ],
        "seconds": [f"{value:.1f}" for value in seconds],
    }
    return "\n".join([*parts, _by_run(training)])


def _by_run(
    columns: Mapping[str, Sequence[str]], best: frozenset[tuple[int, int]] = frozenset()
) -> str:
    """Return a table of columns, each with a cell per run."""
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return table(list(columns), rows, best)


def one_kind_of_loss(views: Sequence[RunView]) -> bool:
    """Whether all runs minimize the same loss, so that its values can be compared."""
    return len({view.config["loss"] for view in views}) == 1


def _where(values: Sequence[float], best: float) -> list[int]:
    return [k for k, value in enumerate(values) if value == best]


def _percent(value: float) -> str:
    return percent(None if math.isnan(value) else value)


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _sweep(
    models: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], theme: Theme
) -> Picture:
    """Draw validation accuracy by one key, on a grid of two, or on parallel axes of more."""
    keys = list(rows[0]["settings"])
    draw = {1: _over_one, 2: _heat_map}.get(len(keys), _parallel)
    figure = draw(rows, keys, theme)
    best = rows[0]
    chosen = ", ".join(f"{key} {_shown(value)}" for key, value in best["settings"].items())
    lost = sum(model["diverged"] is not None for model in models)
    text = f"Best: {chosen}, with {percent(best['validation_accuracy'])} on validation."
    return figure, text + (f" {lost} diverged." if lost else "")


def _axis(rows: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """Return the distinct values of a key, sorted."""
    values = {_exact(row["settings"][key]): row["settings"][key] for row in rows}
    numbers = all(isinstance(v, int | float) for v in values.values())
    return sorted(values.values(), key=(lambda v: v) if numbers else _exact)


def _exact(value: Any) -> str:
    """Return a text that tells values apart, mappings included."""
    return json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return str(value.get("kind", value))
    return str(value)


def _over_one(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], theme: Theme) -> Any:
    figure = new_figure(6.4, 3.8)
    axes = figure.subplots()
    values = _axis(rows, keys[0])
    found = {
        _exact(row["settings"][keys[0]]): row["validation_accuracy"] for row in reversed(rows)
    }  # of equal settings the best remains
    heights = [100 * found[_exact(value)] for value in values]
    axes.plot(range(len(values)), heights, marker="o", color=theme.first)
    best = [_exact(v) for v in values].index(_exact(rows[0]["settings"][keys[0]]))
    axes.plot(best, heights[best], marker="o", markersize=13, fillstyle="none", color=theme.second)
    axes.set_xticks(
        range(len(values)), [_shown(v) for v in values], rotation=45 if len(values) > 8 else 0
    )
    axes.set_xlabel(keys[0])
    axes.set_ylabel("validation accuracy, %")
    axes.grid(visible=True)
    return figure


def _heat_map(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], theme: Theme) -> Any:
    down, across = (_axis(rows, key) for key in keys)
    names = [[_shown(v) for v in values] for values in (down, across)]
    places = [[_exact(v) for v in values] for values in (down, across)]
    grid = np.full((len(down), len(across)), np.nan)
    for row in reversed(rows):  # of equal settings the best remains
        i, j = (places[k].index(_exact(row["settings"][key])) for k, key in enumerate(keys))
        grid[i, j] = 100 * row["validation_accuracy"]
    if np.isnan(grid).mean() > 0.5:  # settings drawn at random do not fill a grid
        return _parallel(rows, keys, theme)
    figure = new_figure(max(5.0, 0.9 * len(across) + 2.4), max(3.0, 0.55 * len(down) + 1.7))
    axes = figure.subplots()
    image = axes.imshow(grid, cmap=theme.map, aspect="auto")
    figure.colorbar(image, ax=axes).set_label("validation accuracy, %")
    axes.set_yticks(range(len(down)), names[0])
    axes.set_xticks(range(len(across)), names[1], rotation=45 if len(across) > 8 else 0)
    axes.set_ylabel(keys[0])
    axes.set_xlabel(keys[1])
    axes.spines[:].set_visible(False)
    for i, j in np.ndindex(grid.shape):
        if np.isnan(grid[i, j]):
            axes.text(j, i, "–", ha="center", va="center", fontsize=9)
            continue
        colour = readable_on(image, float(grid[i, j]))
        axes.text(j, i, f"{grid[i, j]:.1f}", ha="center", va="center", color=colour, fontsize=8)
    top, left = (places[k].index(_exact(rows[0]["settings"][key])) for k, key in enumerate(keys))
    axes.plot(
        left, top, "s", markersize=32, fillstyle="none", markeredgewidth=2,
        color=readable_on(image, float(grid[top, left])),
    )  # fmt: skip
    return figure


def _parallel(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], theme: Theme) -> Any:
    import matplotlib as mpl

    figure = new_figure(max(7.0, 1.9 * (len(keys) + 1)), 4.4)
    axes = figure.subplots()
    accuracy = np.array([100 * row["validation_accuracy"] for row in rows])
    low, high = accuracy.min(), accuracy.max()
    scale = mpl.colors.Normalize(low, high if high > low else low + 1)
    colours = mpl.colormaps["cividis"]
    behind = {"facecolor": theme.paper, "edgecolor": "none", "alpha": 0.8, "pad": 1}
    columns = []
    for key in keys:
        values = _axis(rows, key)
        places = {
            _exact(v): (k / (len(values) - 1) if len(values) > 1 else 0.5)
            for k, v in enumerate(values)
        }
        columns.append([places[_exact(row["settings"][key])] for row in rows])
        shown = values if len(values) <= 8 else [values[0], values[-1]]
        for value in shown:
            axes.annotate(
                _shown(value), (len(columns) - 1, places[_exact(value)]), xytext=(5, 0),
                textcoords="offset points", fontsize=8, va="center", bbox=behind, zorder=5,
            )  # fmt: skip
    columns.append([scale(value) for value in accuracy])
    for k in reversed(range(len(rows))):  # the best one on top
        axes.plot(
            range(len(columns)), [column[k] for column in columns],
            color=theme.second if k == 0 else colours(scale(accuracy[k])),
            linewidth=3 if k == 0 else 1.1, alpha=1 if k == 0 else 0.7,
        )  # fmt: skip
    for value in (low, high):
        axes.annotate(
            f"{value:.1f}", (len(keys), scale(value)), xytext=(5, 0), textcoords="offset points",
            fontsize=8, va="center",
        )  # fmt: skip
    short = [key.removeprefix("training.") for key in keys]
    axes.set_xticks(range(len(columns)), [*short, "validation accuracy, %"], fontsize=8.5)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.1, len(keys) + 0.35)
    for k in range(len(columns)):
        axes.axvline(k, color=theme.soft, linewidth=0.8)
    return figure
