"""Measures as people read them."""

from __future__ import annotations

import math

from backprop_cli.evaluation.measures import MEASURES
from backprop_cli.evaluation.metrics import Evaluation


def measure_texts(evaluation: Evaluation) -> dict[str, str]:
    """Return each measure in percent by its title, with its 95 % interval, if any, in brackets."""
    texts = {}
    for name, value in evaluation.measures.items():
        text = "not defined" if math.isnan(value) else f"{100 * value:.2f} %"
        interval = evaluation.intervals[name]
        if interval is not None:
            low, high = interval
            text += f" ({100 * low:.2f} to {100 * high:.2f})"
        texts[MEASURES[name].title] = text
    return texts


def measure_lines(evaluation: Evaluation) -> list[str]:
    """Return a line for each measure."""
    return [f"{title:<19}{text}" for title, text in measure_texts(evaluation).items()]
