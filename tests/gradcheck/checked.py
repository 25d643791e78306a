"""Training before its first step, from a config, and what gradcheck says of it."""

import dataclasses

import pytest

from backprop_cli import prepare
from backprop_cli.config import check_config
from backprop_cli.config.convert import descent_of, settings_of
from backprop_cli.formats import load_dataset
from backprop_cli.gradcheck import Comparison, compare

ENGINES = [("numpy", "float64"), ("numpy", "float32"), ("compiled", "float32")]


def descent_for(text, engine=("numpy", "float64"), n=30):
    """Return training on mini-batches of n examples; without momentum, unless the text has it."""
    backend, dtype = engine
    if backend == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    overrides = [f"compute.backend={backend}", f"model.dtype={dtype}"]
    if "momentum" not in text:
        overrides.append("training.momentum=0")
    config = check_config(text, "some.yaml", overrides)
    solver = dataclasses.replace(descent_of([config]), batch_size=n)
    return prepare(load_dataset(config.data), settings_of([config]), solver)


def rows_of(descent, samples=None):
    """Return all comparisons."""
    return [row for row in compare(descent, samples, 0) if isinstance(row, Comparison)]
