"""What the commands do, as functions, whose results notebooks show as tables and pictures.

The names in ``__all__``, here and in `backprop_cli`, are public; everything else may change.
"""

from backprop_cli.api.functions import evaluate, explain, gradcheck, predict, train
from backprop_cli.api.results import (
    Explained,
    GradientCheck,
    Predictions,
    RunEvaluation,
    TrainedRun,
)

__all__ = [
    "Explained",
    "GradientCheck",
    "Predictions",
    "RunEvaluation",
    "TrainedRun",
    "evaluate",
    "explain",
    "gradcheck",
    "predict",
    "train",
]
