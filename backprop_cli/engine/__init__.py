"""The batch engines: parameters and examples in, losses and gradients out. No files, no configs.

Read `contract` first, then `numpy_engine`, which is the lecture's equations. Letters are the
lecture's. Every array has a leading axis of M stacked models; an ordinary run is M = 1 through the
same code.

======  ================  ====================================================================
X       d x n             a mini-batch, one example per column; in memory ``rows``, n x d: rows.T
W, b    M x C x d, M x C  weights and bias
S       M x C x n         scores, W X + b 1^T
P       M x C x n         probabilities, SoftMax(S)
Y       M x C x n         targets, a probability vector per column (M may be 1: shared)
G       M x C x n         dl/dS, one column per example
======  ================  ====================================================================
"""

from backprop_cli.engine.contract import (
    Counts,
    DescentState,
    Engine,
    FusedEngine,
    Outcomes,
    Sums,
    Task,
)
from backprop_cli.engine.decisions import class_scores, decide, probabilities
from backprop_cli.engine.registry import ENGINES, choose
from backprop_cli.engine.targets import Targets
from backprop_cli.engine.threads import blas_threads, cores, resolved_threads

__all__ = [
    "ENGINES",
    "Counts",
    "DescentState",
    "Engine",
    "FusedEngine",
    "Outcomes",
    "Sums",
    "Targets",
    "Task",
    "blas_threads",
    "choose",
    "class_scores",
    "cores",
    "decide",
    "probabilities",
    "resolved_threads",
]
