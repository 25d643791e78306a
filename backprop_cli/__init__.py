"""Train, check and explain linear classifiers by vectorized mini-batch gradient descent.

The public names are those of ``__all__``; each is imported when it is used, so that the package
itself is imported at once. What the commands do is in `backprop_cli.api`, as functions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backprop_cli.estimator import LinearClassifier
    from backprop_cli.evaluation.metrics import Evaluation, evaluate_model
    from backprop_cli.fitting import Fitted, fit, prepare
    from backprop_cli.losses import LOSSES, Loss
    from backprop_cli.model import LinearModel
    from backprop_cli.settings import ModelSettings, Settings
    from backprop_cli.solvers.methods import FullBatchLbfgs, MiniBatchDescent, Rule
    from backprop_cli.solvers.observer import EpochRecord, Observer
    from backprop_cli.solvers.optimality import Optimality
    from backprop_cli.solvers.schedules import Constant, Cosine, Cyclical, StepDecay
    from backprop_cli.sources import Dataset, ImageLayout, Source, Split

__version__ = "0.1.0"

_MODULES = {
    "estimator": ("LinearClassifier",),
    "evaluation.metrics": ("Evaluation", "evaluate_model"),
    "fitting": ("Fitted", "fit", "prepare"),
    "losses": ("LOSSES", "Loss"),
    "model": ("LinearModel",),
    "settings": ("ModelSettings", "Settings"),
    "solvers.methods": ("FullBatchLbfgs", "MiniBatchDescent", "Rule"),
    "solvers.observer": ("EpochRecord", "Observer"),
    "solvers.optimality": ("Optimality",),
    "solvers.schedules": ("Constant", "Cosine", "Cyclical", "StepDecay"),
    "sources": ("Dataset", "ImageLayout", "Source", "Split"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "LOSSES",
    "Constant",
    "Cosine",
    "Cyclical",
    "Dataset",
    "EpochRecord",
    "Evaluation",
    "Fitted",
    "FullBatchLbfgs",
    "ImageLayout",
    "LinearClassifier",
    "LinearModel",
    "Loss",
    "MiniBatchDescent",
    "ModelSettings",
    "Observer",
    "Optimality",
    "Rule",
    "Settings",
    "Source",
    "Split",
    "StepDecay",
    "evaluate_model",
    "fit",
    "prepare",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'backprop_cli' has no attribute {name!r}")
    return getattr(importlib.import_module(f"backprop_cli.{_HOMES[name]}"), name)
