"""Statistics of features: as the package finds them, and exact ones."""

import math
from fractions import Fraction

import numpy as np

from backprop_cli.engine.standardizing import Standardizing
from backprop_cli.sources import survey
from tests.make import dataset, split


def exact(column):
    """Return mean and standard deviation of numbers, rounded once."""
    numbers = [Fraction(float(value)) for value in column]
    mean = sum(numbers) / len(numbers)
    variance = sum((x - mean) ** 2 for x in numbers) / len(numbers)
    return float(mean), math.sqrt(variance)


def statistics(features, kind="per_feature", image=None):
    """Return the standardization of features of which all are for training."""
    return survey(
        dataset(split(features, image=image), n_classes=2), kind, "float64"
    ).standardization


def standardized(features, dtype, kind="per_feature", image=None):
    """Return standardized examples, n x d."""
    found = statistics(features, kind, image)
    block = split(features).block(0, len(features))
    return Standardizing(found, image, np.dtype(dtype), None, 1).examples(block).copy()
