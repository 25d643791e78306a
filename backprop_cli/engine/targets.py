"""Labels to columns of Y, and how much each example counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.losses import Array
from backprop_cli.sources import Block


@dataclass(frozen=True)
class Targets:
    """What a label asks of each model: a column of Y, and how much the example counts.

    Attributes
    ----------
    n_classes
        C.
    label_smoothing
        a in [0, 1), one per model, or a single one for all.
    class_weights
        A factor on the loss of the examples of each class, C; None: 1.
    weighs_examples
        Whether the examples' own weights count as well.
    """

    n_classes: int
    label_smoothing: Array
    class_weights: Array | None = None
    weighs_examples: bool = True

    @classmethod
    def plain(cls, n_classes: int, dtype: np.dtype[Any]) -> Targets:
        """Return the targets of an evaluation: the labels as they are, every example counts 1."""
        return cls(n_classes, np.zeros(1, dtype), weighs_examples=False)

    def columns(self, labels: NDArray[np.int64]) -> Array:
        """Return Y, M x C x n (or 1 x C x n for all models): y = (1 - a) e_label + a / C.

        Label smoothing as in Szegedy et al. (2016); with a = 0, y is one-hot.
        """
        a, C = self.label_smoothing[:, None], self.n_classes
        Y = np.empty((len(a), C, len(labels)), a.dtype)
        Y[...] = (a / C)[:, None]
        Y[:, labels, np.arange(len(labels))] += 1 - a
        return Y

    def example_weights(self, block: Block) -> Array | None:
        """Return v of a block's n examples, n numbers; None if every example counts 1.

        v is the weight of the example's class times the example's own.
        """
        v = None
        if self.class_weights is not None:
            v = self.class_weights[block.labels[block.rows]]
        if self.weighs_examples and block.example_weights is not None:
            own = block.example_weights[block.rows].astype(self.label_smoothing.dtype)
            v = own if v is None else v * own
        return v
