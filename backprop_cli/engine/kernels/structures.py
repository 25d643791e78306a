"""What the kernels take: arrays that belong together."""

from __future__ import annotations

from typing import Any, NamedTuple

PIECE = 256
"""The largest number of examples that tiles take at once."""
CHUNK_BYTES = 200_000
"""Of examples (or of some features of them) that are multiplied by all rows of W (of G) before the
next ones are: about as many as fit in the second cache."""
SCORED = 32
"""The largest number of examples that are evaluated at once by tiles, where they are stored."""


class Examples(NamedTuple):
    """Where examples come from.

    ``features`` are the numbers of N x d features: those of row i are d numbers from
    ``begins[k] + i d`` on, where k is the first with i < ``ends[k]``. ``labels`` are N; ``weights``
    are N factors on the losses in training, or none. ``mean``, blocks x a block's width, and
    ``scale``, d, are those of the standardization (x - mean) scale. Mirroring reverses lines of
    ``line`` numbers, pixel by pixel of ``pixel`` numbers each.
    """

    features: Any
    begins: Any
    ends: Any
    d: int
    labels: Any
    weights: Any
    mean: Any
    scale: Any
    line: int
    pixel: int


class Models(NamedTuple):
    """M models of C classes, K = M C rows.

    W, its gradient and its velocity (or nothing) are K x d, those of b K numbers. W and its
    velocity have ``scale`` folded into them, d numbers s: W s stands for W, and moves by s^2 times
    its gradient. That is the examples' scale, or 1 for the BLAS, which takes scaled examples.
    ``kinds`` (which loss), ``smoothing``, ``two_l2``, ``rho`` and ``ahead`` (Nesterov) have a
    number per model, ``class_weights`` one per class, or none.
    """

    W: Any
    dW: Any
    velocity_W: Any
    b: Any
    db: Any
    velocity_b: Any
    kinds: Any
    smoothing: Any
    class_weights: Any
    two_l2: Any
    rho: Any
    ahead: Any
    scale: Any


class Work(NamedTuple):
    """Memory for intermediate results.

    ``x`` is blocks x n x a block's width, for the n examples that are taken at once, ``flat`` the
    same as blocks of numbers, of which example i begins at ``places[i]``. ``parts`` of S are blocks
    x n x K; those of the first block become S, and then G. ``G`` is (K / R) x n x R, where R
    rows of dW are made at once: ROWS by tiles, more by the BLAS; what is in the padding is not
    used. ``tiles``, threads x R x a block's width, are rows of dW, and before that the rows of W
    that tiles of S read. ``sums`` are threads x M losses, ``right`` as many counts, ``db`` threads
    x K sums of G; widths are padded to whole tiles, K to R. ``ones`` are K, the scale of b.
    ``counter`` is where the threads meet. ``product`` is where the BLAS's product is, or 0: then
    tiles make both products.
    """

    x: Any
    flat: Any
    places: Any
    parts: Any
    G: Any
    tiles: Any
    sums: Any
    right: Any
    db: Any
    ones: Any
    counter: Any
    product: int
