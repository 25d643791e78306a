"""Which settings a sweep tries: all of a grid, or some drawn at random."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backprop_cli.errors import ConfigError

KEYS = (
    "training.learning_rate",
    "l2",
    "training.momentum",
    "training.nesterov",
    "training.schedule",
    "training.seed",
    "loss",
    "label_smoothing",
)
"""What the models of a sweep may differ in: all that leaves their mini-batches the same, and the
seed, of which each value is a pass of its own."""

REAL_KEYS = ("training.learning_rate", "l2", "training.momentum", "label_smoothing")
"""Those of them that can be drawn from a range."""

LBFGS_KEYS = ("l2", "label_smoothing")
"""Those of them that matter to `training.solver: lbfgs`, which finds the optimum from anywhere."""

MOST_SETTINGS = 10_000
"""Of a sweep: each is checked by itself, and all models are in memory at once."""

Settings = dict[str, Any]


def combinations(grids: Mapping[str, Sequence[Any]]) -> list[Settings]:
    """Return every combination of the values of each key.

    Raises
    ------
    ConfigError
        There are more than `MOST_SETTINGS`.
    """
    count = math.prod(map(len, grids.values()))
    if count > MOST_SETTINGS:
        raise ConfigError(
            f"--grid: {count} combinations, expected at most {MOST_SETTINGS}; --sample N draws some"
        )
    return [dict(zip(grids, values, strict=True)) for values in itertools.product(*grids.values())]


def draws(
    grids: Mapping[str, Sequence[Any]],
    ranges: Mapping[str, tuple[float, float]],
    n: int,
    rng: np.random.Generator,
) -> list[Settings]:
    """Draw n settings: a value of each grid, and a number of each range, even in its logarithm.

    Numbers have four digits, so that they can be read and typed again. Without ranges no setting
    is drawn twice.

    Raises
    ------
    ConfigError
        The grids have fewer than n combinations.
    """
    most = math.prod(map(len, grids.values()))
    if not ranges and n > most:
        raise ConfigError(f"--sample {n}: expected at most {most}, the combinations there are")
    found: list[Settings] = []
    seen: set[tuple[int, ...]] = set()
    while len(found) < n:
        places = tuple(int(rng.integers(len(values))) for values in grids.values())
        if not ranges and places in seen:
            continue
        seen.add(places)
        setting = {key: values[k] for (key, values), k in zip(grids.items(), places, strict=True)}
        for key, (low, high) in ranges.items():
            drawn = float(f"{np.exp(rng.uniform(math.log(low), math.log(high))):.4g}")
            setting[key] = min(max(drawn, low), high)
        found.append(setting)
    return found
