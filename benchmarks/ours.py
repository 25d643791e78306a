"""This project's two solvers on a set of benchmarks.datasets, as a library's user calls them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop_cli import (
    LOSSES,
    Cosine,
    Dataset,
    Fitted,
    MiniBatchDescent,
    ModelSettings,
    Rule,
    Settings,
    Source,
    fit,
)
from backprop_cli import Split as Rows
from backprop_cli.solvers.methods import FullBatchLbfgs, Solver
from benchmarks.datasets import Split


def lbfgs(split: Split, l2: Sequence[float], tolerance: float) -> tuple[list[Fitted], float]:
    """Fit a model for each l2 to a relative duality gap; return them, and seconds.

    The features are as stored: means and standard deviations, and the certificates, are included.
    """
    return _timed(split, l2, FullBatchLbfgs(tolerance, "loss"))


def descent(split: Split, l2: float, epochs: int | None) -> tuple[list[Fitted], float]:
    """Fit by mini-batch descent with the defaults of a config, on all training rows."""
    rule = Rule(None, Cosine(minimum=0.0), momentum=0.9, nesterov=False)
    solver = MiniBatchDescent(
        (rule,), epochs, batch_size=100, seed=42, horizontal_flips=False, select_by="accuracy",
        keep="last", patience=None,
    )  # fmt: skip
    return _timed(split, [l2], solver)


def _timed(split: Split, l2: Sequence[float], solver: Solver) -> tuple[list[Fitted], float]:
    softmax = LOSSES["softmax_cross_entropy"]
    settings = Settings(
        models=tuple(ModelSettings(softmax, own, 0.0, 42, 0.01) for own in l2), dtype="float32",
        single_output=False, standardize="per_feature", class_weights=None, engine="auto",
        threads=None,
    )  # fmt: skip
    dataset = _dataset(split)
    start = time.perf_counter()
    fitted = fit(dataset, settings, solver)
    return fitted, time.perf_counter() - start


def _dataset(split: Split) -> Dataset:
    names = tuple(str(k) for k in range(int(split.y_train.max()) + 1))
    return Dataset(_rows(split.x_train, split.y_train), None, None, names)


def _rows(x: Any, y: Any) -> Rows:
    return Rows(Source(x, y, "features"), np.arange(len(x)))
