"""Readers of data: CIFAR, IDX, NumPy's own formats, and images made from a seed."""

from backprop_cli.formats.load import load_dataset

__all__ = ["load_dataset"]
