"""The pictures of a run. Each function returns a figure and a text that describes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.evaluation.metrics import MAX_MATRIX
from backprop_cli.evaluation.reliability import BINS, reliability
from backprop_cli.reporting.report.gallery import gallery
from backprop_cli.reporting.report.theme import Picture, Theme, new_figure
from backprop_cli.reporting.report.view import Predictions, RunView

_MAX_NUMBERS = 12  # classes of a confusion matrix that has room for numbers
_MAX_BARS = 40  # classes for which there is room for a bar each
_MAX_TEMPLATES = 100
_WITHIN = 0.995  # the share of the weights within the scale of the templates
_MAX_NAME = 14


def shortened(name: str) -> str:
    """Return the name of a class, shortened to fit into a picture."""
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def readable_on(image: Any, value: float) -> str:
    """Return black or white, whichever is readable on the colour of a value in an image."""
    r, g, b, _ = image.cmap(image.norm(value))
    return "#000000" if 0.299 * r + 0.587 * g + 0.114 * b > 0.5 else "#ffffff"


def whole_epochs(axes: Any, n: int) -> None:
    """Place the ticks of an axis of n epochs at whole numbers."""
    if n == 1:
        axes.set_xticks([1])
    else:
        axes.xaxis.get_major_locator().set_params(integer=True)


def curves(view: RunView, theme: Theme) -> Picture | None:
    """Draw cost, loss, accuracy and learning rate by epoch, and mark the kept epoch."""
    history = view.history
    if not history:
        return None
    figure = new_figure(9.2, 5.6)
    panels = figure.subplots(2, 2, sharex=True)
    epochs = [line["epoch"] for line in history]

    def draw(axes: Any, key: str, label: str, colour: str, scale: float = 1.0) -> None:
        known = [line for line in history if line[key] is not None]  # of evaluated epochs
        if known:
            at, values = [line["epoch"] for line in known], [scale * line[key] for line in known]
            marker = "o" if len(known) == 1 else ""
            axes.plot(at, values, color=colour, label=label, marker=marker)

    (cost, loss), (accuracy, rate) = panels
    draw(cost, "train_cost", view.trained, theme.first)
    draw(loss, "train_loss", view.trained, theme.first)
    draw(loss, "validation_loss", "validation", theme.second)
    draw(accuracy, "train_accuracy", view.trained, theme.first, 100)
    draw(accuracy, "validation_accuracy", "validation", theme.second, 100)
    if view.rates is None:
        draw(rate, "learning_rate", "at the epoch's end", theme.first)
    else:  # it changes within an epoch
        by_step = view.rates.ravel()
        per_epoch = view.rates.shape[1]
        rate.plot(0.5 + np.arange(1, len(by_step) + 1) / per_epoch, by_step, color=theme.first)
    for axes, title in (
        (cost, "Cost J = L + λ Σ W²"),
        (loss, "Loss L"),
        (accuracy, "Accuracy in %"),
        (rate, "Step length" if view.unit == "step" else "Learning rate"),
    ):
        axes.set_title(title)
        axes.grid(visible=True)
        if view.kept_epoch and view.unit == "epoch":
            axes.axvline(view.kept_epoch, color=theme.mark, linestyle=":", linewidth=1.2)
        whole_epochs(axes, len(epochs))
    for axes in (accuracy, rate):
        axes.set_xlabel("epoch (dotted: the kept one)" if view.unit == "epoch" else view.unit)
    if loss.get_legend_handles_labels()[0]:
        loss.legend()
    last = history[-1]
    kept = f", {view.kept_epoch} kept" if view.unit == "epoch" else ""
    text = f"{len(history)} {view.unit}s{kept}. At the last: training loss "
    text += _number(last["train_loss"])
    if last.get("validation_loss") is not None:
        text += f", validation loss {_number(last['validation_loss'])}"
        text += f", validation accuracy {100 * last['validation_accuracy']:.2f} %"
    return figure, text + "."


def templates(view: RunView, theme: Theme) -> Picture | None:
    """Draw the weights of each class as an image, all on one scale."""
    if view.image_shape is None:
        return None
    weights = view.weights[:_MAX_TEMPLATES].reshape(-1, *view.image_shape)
    limit = float(np.quantile(np.abs(weights), _WITHIN)) or 1.0
    images = np.clip(0.5 + weights / (2 * limit), 0, 1).transpose(0, 2, 3, 1)
    single = len(view.weights) == 1
    names = [view.class_names[1]] if single else list(view.class_names)
    small = len(images) > 20
    figure = gallery(
        list(images if view.image_shape[0] == 3 else images.mean(axis=-1)),
        [shortened(name)[: 10 if small else None] for name in names[: len(images)]],
        columns=min(10 if small else 5, len(images)),
        side=0.95 if small else 1.75,
        fontsize=6 if small else 9,
    )
    kind = "colour" if view.image_shape[0] == 3 else "grey"
    text = (
        f"The weights of {_how_many(len(images), len(view.weights))} as images, in {kind}: middle "
        f"grey is 0, black and white are −{limit:.3g} and +{limit:.3g}."
    )
    return figure, text


def confusion(view: RunView, theme: Theme) -> Picture | None:
    """Draw the confusion matrix in % of each row, with counts if there is room."""
    if view.shown is None:
        return None
    if len(view.class_names) > MAX_MATRIX:
        return None
    counts = view.shown.counts.dense()
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    n_classes = len(counts)
    numbers = n_classes <= _MAX_NUMBERS
    size = max(4.6, 0.72 * n_classes + 1.6) if numbers else 7.6
    figure = new_figure(size + 0.8, size)
    axes = figure.subplots()
    most = 100 if numbers else max(float(shares.max()), 1.0)
    image = axes.imshow(shares, cmap=theme.map, vmin=0, vmax=most)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("% of the true class")
    step = 1 if n_classes <= _MAX_BARS else -(-n_classes // _MAX_BARS)
    places = range(0, n_classes, step)
    names = [shortened(view.class_names[k]) for k in places]
    small = 9 if numbers else 7
    axes.set_xticks(places, names, rotation=90 if n_classes > 5 else 0, fontsize=small)
    axes.set_yticks(places, names, fontsize=small)
    axes.set_xlabel("decided")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)
    if numbers:
        for i, j in np.ndindex(n_classes, n_classes):
            axes.text(
                j, i, f"{shares[i, j]:.0f} %\n{counts[i, j]}", ha="center", va="center",
                color=readable_on(image, shares[i, j]), fontsize=7.5,
            )  # fmt: skip
    text = f"Accuracy {100 * view.shown.accuracy:.2f} %. "
    for i, j, n in view.shown.counts.most_frequent_mistakes(1):
        text += (
            f"The most frequent confusion: {view.class_names[i]} taken for {view.class_names[j]}, "
            f"{n} of {totals[i, 0]}."
        )
    return figure, text


def classes(view: RunView, theme: Theme) -> Picture | None:
    """Draw precision and recall per class; of many, those with the lowest and highest recall."""
    if view.shown is None:
        return None
    rows = list(view.shown.classes)
    many = len(rows) > _MAX_BARS
    if many:
        rows.sort(key=lambda row: row.recall or 0.0)
        rows[_MAX_BARS // 2 : -_MAX_BARS // 2] = []
    figure = new_figure(5.4, 0.36 * len(rows) + 1.3)
    axes = figure.subplots()
    places = np.arange(len(rows))
    for key, offset, colour in (("precision", 0.2, theme.first), ("recall", -0.2, theme.second)):
        values = [100 * (getattr(row, key) or 0.0) for row in rows]
        axes.barh(places - offset, values, 0.38, color=colour, label=key)
    axes.set_yticks(places, [shortened(row.name) for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("%")
    axes.grid(visible=True, axis="x")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    half = _MAX_BARS // 2
    which = f"{half} with the lowest and {half} with the highest recall" if many else "all"
    recalls = [(row.recall or 0.0, row.name) for row in rows]
    low, high = min(recalls), max(recalls)
    text = f"Precision and recall of each class ({which}). "
    if low[0] == high[0]:
        text += f"Recall is {100 * low[0]:.1f} % for every class."
    else:
        text += (
            f"Recall is lowest for {low[1]} ({100 * low[0]:.1f} %) and highest for {high[1]} "
            f"({100 * high[0]:.1f} %)."
        )
    return figure, text


def calibration(view: RunView, theme: Theme) -> Picture | None:
    """Draw accuracy against confidence, and the number of examples in each bin."""
    if view.predictions is None:
        return None
    predictions = view.predictions
    found = reliability(predictions.confidence(), predictions.decisions == predictions.labels)
    figure = new_figure(5.4, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    middles = 100 * (np.arange(BINS) + 0.5) / BINS
    width = 100 / BINS * 0.92
    upper.bar(middles, 100 * np.nan_to_num(found.accuracy), width, color=theme.first)
    upper.plot([0, 100], [0, 100], color=theme.mark, linestyle=":", label="perfect calibration")
    upper.set_ylabel("right, %")
    upper.set_ylim(0, 100)
    upper.set_title(f"Calibration error {100 * found.error:.2f} %")
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper right")
    lower.bar(middles, found.counts, width, color=theme.second)
    lower.set_ylabel("examples")
    lower.set_xlabel("probability of the decision, %")
    for axes in (upper, lower):
        axes.grid(visible=True)
        axes.set_xlim(0, 100)
    mean = 100 * float(predictions.confidence().mean())
    accuracy = 100 * float((predictions.decisions == predictions.labels).mean())
    text = (
        f"Expected calibration error {100 * found.error:.2f} % in {BINS} bins: the mean confidence "
        f"of the decisions is {mean:.1f} %, and {accuracy:.1f} % of them are right."
    )
    return figure, text


def truth(view: RunView, theme: Theme) -> Picture | None:
    """Draw a histogram of the probability of the true class."""
    if view.predictions is None:
        return None
    values = 100 * view.predictions.truth()
    figure = new_figure(5.4, 5.6)  # as high as its neighbour on the page
    axes = figure.subplots()
    axes.hist(values, bins=np.linspace(0, 100, 26).tolist(), color=theme.first)
    axes.set_xlabel("probability of the true class, %")
    axes.set_ylabel("examples")
    axes.set_xlim(0, 100)
    axes.grid(visible=True, axis="y")
    return figure, f"The median probability of the true class is {np.median(values):.1f} %."


def mistakes(view: RunView, theme: Theme) -> Picture | None:
    """Draw the most confident mistakes."""
    if view.predictions is None:
        return None
    return _examples(view, view.predictions, view.predictions.confident_mistakes())


def hardest(view: RunView, theme: Theme) -> Picture | None:
    """Draw the right decisions with the lowest confidence."""
    if view.predictions is None:
        return None
    return _examples(view, view.predictions, view.predictions.hardest_right())


def _examples(view: RunView, predictions: Predictions, chosen: NDArray[np.intp]) -> Picture | None:
    """Draw examples with their true class, the decision, and its probability."""
    if view.image_shape is None or not len(chosen):
        return None
    captions, said = [], []
    for i in chosen:
        true = shortened(view.class_names[predictions.labels[i]])
        decided = shortened(view.class_names[predictions.decisions[i]])
        share = 100 * predictions.confidence()[i]
        right = predictions.labels[i] == predictions.decisions[i]
        captions.append(
            f"{decided}\n{share:.0f} %" if right else f"{decided} ({share:.0f} %)\nis {true}"
        )
        said.append(f"{decided} ({share:.0f} %)" + ("" if right else f", is {true}"))
    images = [_image(predictions.features(i), view.image_shape) for i in chosen]
    figure = gallery(images, captions, columns=min(6, len(chosen)), side=1.65, fontsize=8)
    return figure, "; ".join(said) + "."


def _image(features: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Return an example as an image, scaled to 0 to 1 unless it is bytes of three colours."""
    image = features.reshape(shape).transpose(1, 2, 0)
    if shape[0] != 3:
        image = image.mean(axis=-1, dtype=np.float64)
    if image.dtype != np.uint8:
        image = image.astype(np.float64)
        low, high = image.min(), image.max()
        image = (image - low) / (high - low or 1.0)
    return image


def _how_many(shown: int, scores: int) -> str:
    if scores == 1:
        return "the score of the second class"
    return f"{shown} of {scores} classes" if shown < scores else f"all {scores} classes"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4f}"


PICTURES: Sequence[tuple[str, str, Callable[[RunView, Theme], Picture | None]]] = (
    ("curves", "Curves", curves),
    ("templates", "Class templates", templates),
    ("confusion", "Confusion matrix", confusion),
    ("classes", "Precision and recall", classes),
    ("calibration", "Reliability", calibration),
    ("truth", "Probability of the true class", truth),
    ("mistakes", "Most confident mistakes", mistakes),
    ("hardest", "Hardest right decisions", hardest),
)
"""Name of the file, title, and the function that draws it, or returns None without data."""
