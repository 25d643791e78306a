"""Where examples come from: splits, their statistics, their fingerprint."""

from backprop_cli.sources.batches import MIDDLE, Gatherer, epoch_flips, epoch_order
from backprop_cli.sources.dataset import Dataset, Split
from backprop_cli.sources.fingerprint import fingerprint
from backprop_cli.sources.statistics import (
    LEAST_STD,
    Standardization,
    fit_standardization,
)

__all__ = [
    "LEAST_STD",
    "MIDDLE",
    "Dataset",
    "Gatherer",
    "Split",
    "Standardization",
    "epoch_flips",
    "epoch_order",
    "fingerprint",
    "fit_standardization",
]
