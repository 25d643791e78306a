"""What is trained: the classifiers, and what they compute in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from backprop_cli.losses import Loss


@dataclass(frozen=True)
class ModelSettings:
    """What the models of a stack may differ in.

    Attributes
    ----------
    loss
        The loss.
    l2
        lambda in J = L + lambda sum W_ij^2.
    label_smoothing
        a: targets are (1 - a) e_label + a / C.
    seed, initial_std
        W starts as N(0, initial_std^2), drawn from the seed.
    """

    loss: Loss
    l2: float
    label_smoothing: float
    seed: int
    initial_std: float

    def path(self) -> ModelSettings:
        """Return what models have in common that full-batch training takes one after the other."""
        return dataclasses.replace(self, l2=0.0, seed=0, initial_std=0.0)


@dataclass(frozen=True)
class Settings:
    """M models, and what they have in common.

    Attributes
    ----------
    models
        One per model.
    dtype
        float32 or float64: what is computed in.
    single_output
        A single score for two classes, in place of a score per class.
    standardize
        none, per_feature or per_channel.
    class_weights
        A factor on the loss of each class; balanced: n / (classes there are x n_class); None: 1.
    engine
        A name of `ENGINES`, or auto.
    threads
        How many; None: as many as there are cores.
    """

    models: tuple[ModelSettings, ...]
    dtype: Literal["float32", "float64"]
    single_output: bool
    standardize: Literal["none", "per_feature", "per_channel"]
    class_weights: str | Sequence[float] | None
    engine: str
    threads: int | None
