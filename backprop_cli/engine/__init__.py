"""The batch engine: arrays in, losses and gradients out. It knows no files and no configs.

Letters are the lecture's. Every array has a leading axis of M stacked models; an ordinary run is
M = 1 through the same code.

======  ================  ====================================================================
X       d x n             a mini-batch, one example a column; in memory ``rows``, n x d: rows.T
W, b    M x C x d, M x C  weights and bias
S       M x C x n         scores, W X + b 1^T
P       M x C x n         probabilities, SoftMax(S)
Y       M x C x n         targets, a probability vector a column (M may be 1: shared)
G       M x C x n         dl/dS a column, before the 1/n
======  ================  ====================================================================
"""

from backprop_cli.engine.decisions import class_scores, decide, probabilities
from backprop_cli.engine.linear import BatchEngine
from backprop_cli.engine.losses import LOSSES, Array
from backprop_cli.engine.targets import fill_targets

__all__ = [
    "LOSSES",
    "Array",
    "BatchEngine",
    "class_scores",
    "decide",
    "fill_targets",
    "probabilities",
]
