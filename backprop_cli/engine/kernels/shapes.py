"""How a task is cut for the kernels: by tiles or by the BLAS, into which parts, on which threads.

The numbers are measured, on two cores with 512 KB of second cache each (vectors of 256 bits) and
on two with 1 MB (512 bits).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from backprop_cli import blas
from backprop_cli.engine.contract import Task
from backprop_cli.engine.kernels.memory import LINE
from backprop_cli.engine.kernels.structures import PIECE, SCORED
from backprop_cli.engine.kernels.tile import COLUMNS, LANES, ROWS

_WIDTH = 1536  # features of a block, and
_WIDTH_BYTES = 3072  # of an example's share of it: a block's examples stay in the second cache
_MIN_SHARED = 200_000  # operations of a step: below, waiting for other threads takes longer
_BLAS_ROWS = 64  # of W: from so many on the BLAS is faster than tiles,
_BLAS_EXAMPLES = 64  # with so many examples at once; it reorders W for every product,
_BLAS_LANES = 8  # and with vectors of so many numbers at most: on a Zen 5, tiles of longer ones
# are as fast
_BLAS_PIECE = 1024  # examples at once, at most: where one piece has all, dW need not be stored
_BLAS_SCORES, _BLAS_FEATURES = 2**20, 2**24  # numbers of S and X at once: 4 and 64 MB
_BLAS_THREADS = 64  # that NumPy's OpenBLAS has memory for
_ROWS_AT_ONCE = 125  # of dW, so that a block of it stays in the second cache until W has moved


class Cut(NamedTuple):
    """What is taken at once.

    Attributes
    ----------
    product
        Where the BLAS's product is; 0: tiles make the products.
    dtype
        What a feature becomes as it is gathered.
    piece, scored
        The largest number of examples in training, and in evaluation.
    rows
        R, of dW.
    width, blocks
        The features of a block, and the number of blocks.
    threads
        How many work: each has at least one block.
    """

    product: int
    dtype: np.dtype[Any]
    piece: int
    scored: int
    rows: int
    width: int
    blocks: int
    threads: int


def cut(task: Task) -> Cut:
    """Return how a task is cut."""
    n, d, C = task.batch_size, task.n_features, task.targets.n_classes
    K, dtype = task.n_models * C, task.splits[0].features.dtype
    threads = task.threads if 4 * n * K * d >= _MIN_SHARED else 1
    wide = K >= _BLAS_ROWS and n >= _BLAS_EXAMPLES and LANES <= _BLAS_LANES
    product = blas.product_address() if wide else 0
    if not product:
        if dtype == np.float16:
            dtype = task.dtype
        width, blocks = _blocks(task, threads, dtype)
        return Cut(0, dtype, min(n, PIECE), SCORED, ROWS, width, blocks, min(threads, blocks))
    most = max(PIECE, min(_BLAS_PIECE, _BLAS_SCORES // K, _BLAS_FEATURES // d))
    piece = min(n, most)
    scored = min(piece, max(SCORED, _BLAS_SCORES // K))
    shared = C if C >= _BLAS_ROWS else K  # rows of one model, where it has many
    rows = math.ceil(shared / math.ceil(shared / _ROWS_AT_ONCE))
    threads = min(threads, _BLAS_THREADS)
    width, blocks = _blocks(task, threads, task.dtype)
    return Cut(product, task.dtype, piece, scored, rows, width, blocks, min(threads, blocks))


def _blocks(task: Task, threads: int, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the width of a block of features, and how many there are."""
    d, line = task.n_features, 1 if task.image is None else task.image.line
    most = min(_WIDTH, _WIDTH_BYTES // dtype.itemsize)
    blocks = threads * math.ceil(d / (most * threads))
    # Whole lines of images, so that a block can be mirrored by itself; of others, whole lines of
    # memory, so that no vector of W lies in two (where d allows it).
    whole = line if line > 1 else LINE // task.dtype.itemsize
    width = math.ceil(max(d / blocks, min(d, COLUMNS)) / whole) * whole
    return width, math.ceil(d / width)
