"""Evaluating M models on a split, in one pass over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Engine, Targets
from backprop_cli.losses import Array
from backprop_cli.sources import Split


@dataclass(frozen=True)
class Figures:
    """Mean loss and accuracy of M models: M numbers each."""

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def evaluate(
    engine: Engine,
    weights: Array,
    bias: Array,
    split: Split,
    targets: Targets,
) -> Figures:
    """Return the figures of M models on all examples of a split.

    Parameters
    ----------
    engine
        What computes.
    weights, bias
        M x O x d and M x O, features in the order in which the split stores them.
    split
        The examples.
    targets
        What the loss is taken against, and the weights that are factors on the losses.
    """
    n, n_models = len(split), len(weights)
    total, right = np.zeros(n_models), np.zeros(n_models)
    for first in range(0, n, engine.examples_at_once):
        last = min(first + engine.examples_at_once, n)
        block = split.block(first, last)
        losses, decided = engine.outcomes(weights, bias, block, targets)
        labels = block.labels[block.rows]
        factors = targets.example_weights(block)
        if factors is not None:
            losses *= factors
        total += losses.sum(axis=1, dtype=np.float64)
        right += (decided == labels).sum(axis=1)
    return Figures(total / n, right / n)
