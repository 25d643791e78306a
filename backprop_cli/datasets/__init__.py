"""File formats to a `Dataset`; standardization; shuffled mini-batches."""

from backprop_cli.datasets.batches import MIDDLE, Gatherer, epoch_flips, epoch_order
from backprop_cli.datasets.dataset import Dataset, Split
from backprop_cli.datasets.fingerprint import fingerprint
from backprop_cli.datasets.load import load_dataset
from backprop_cli.datasets.standardize import (
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
    "load_dataset",
]
