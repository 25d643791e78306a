"""The leading directions of the features, from a sample of the training examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.losses import Vector
from backprop_cli.rng import Stream, generator
from backprop_cli.sources import Split, Standardization

_MAX_ROWS, _MAX_NUMBERS = 10_000, 10_000_000  # of the sample
_MAX_RANK = 400
_MIN_SHARE = 1e-3  # of the mean eigenvalue: a smaller one may be an accident of the sample
_MORE = 10  # directions beyond those that are kept, which make these accurate
_FEW = 64  # features of which all directions are taken: their eigenvalues are exact
_ITERATIONS = 2
_MAX_FEATURE = 1e150
_CHUNK_NUMBERS = 200_000  # that are converted at once: they stay in the cache


class SecondMoment:
    """The covariance of the standardized features, from a sample: its leading eigenvectors.

        1/n sum_i (x_i - m) (x_i - m)^T  ~  V diag(e) V^T + e_rest (I - V V^T)

    By subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4). An approximation is
    enough: what is made of it is a preconditioner, which has no part in the result, or a learning
    rate.

    Parameters
    ----------
    split, standardization
        The examples, and what standardizes them.
    seed
        Of the sample.
    max_rank
        How many eigenvectors to keep at most.
    weights
        A factor v_i >= 0 per example, by which it counts in all means; None: 1.

    Raises
    ------
    DataError
        The square of a feature is infinite.

    Attributes
    ----------
    rows
        The sample: n' rows of the split's source, ascending.
    mean
        m, d.
    V, e
        The leading r eigenvectors, d x r, and their eigenvalues, ascending.
    rest
        e_rest: the smallest of them.
    trace
        The mean of |x_i - m|^2, the sum of all eigenvalues.
    """

    def __init__(
        self,
        split: Split,
        standardization: Standardization,
        seed: int,
        max_rank: int = _MAX_RANK,
        weights: Vector | None = None,
    ) -> None:
        rng = generator(seed, Stream.SECOND_MOMENT)
        d = split.features.shape[1]
        n = min(len(split), _MAX_ROWS, max(1, _MAX_NUMBERS // d))
        chosen = rng.choice(len(split), n, replace=False)
        chosen = chosen[np.argsort(split.rows[chosen])]  # files are read in their order
        self.rows = split.rows[chosen]
        self._source, self._standardization = split.source, standardization
        x, scale = _standardized(split.source.gather(self.rows), standardization)
        if not scale <= _MAX_FEATURE:
            raise DataError(
                f"{split.source.name}: standardized features of up to {scale:.3g} are too large, "
                "as their squares are infinite: divide the features by a constant"
            )
        if weights is None:
            mean = x.mean(axis=0, dtype=np.float64)
            x -= mean.astype(np.float32)
        else:
            v = weights[chosen] / weights[chosen].mean()
            mean = v @ x / n
            x -= mean.astype(np.float32)
            x *= np.sqrt(v, dtype=np.float32)[:, None]
        self.mean: Vector = scale * mean
        rank = min(d, max_rank, n)
        basis = _subspace(x, rank, rng)
        projected = (x @ basis).astype(np.float64)
        e, U = np.linalg.eigh(projected.T @ projected / n)
        e *= scale**2
        self.V: Vector = (basis @ U)[:, -rank:].astype(np.float64)
        self.trace = scale**2 * float(np.einsum("ij,ij->", x, x, dtype=np.float64)) / n
        floor = _MIN_SHARE * self.trace / d
        self.e: Vector = np.maximum(e[-rank:], floor or 1.0)
        self.rest = float(self.e[0])

    def sample(
        self, most: int, at_once: int
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Yield ``most`` rows of the sample at most, some at once: numbers, and x - m, n x d."""
        own, chosen = self._standardization, self.rows[:: -(-len(self.rows) // most)]
        for first in range(0, len(chosen), at_once):
            rows = chosen[first : first + at_once]
            x = (self._source.gather(rows) - own.mean) / own.std
            yield rows, (x - self.mean).astype(np.float32)


def _standardized(
    features: NDArray[Any], standardization: Standardization
) -> tuple[NDArray[np.float32], float]:
    """Return the features over their scale, so that float32 holds their squares, and the scale."""
    mean, std = standardization.mean, standardization.std
    n, d = features.shape
    step = max(1, _CHUNK_NUMBERS // d)
    chunks = [slice(first, first + step) for first in range(0, n, step)]
    ends = np.stack([features.min(axis=0), features.max(axis=0)])
    scale = float(np.abs((ends - mean) / std).max()) or 1.0
    factor = 1 / (std * scale)
    x = np.empty((n, d), np.float32)
    for rows in chunks:
        x[rows] = (features[rows] - mean) * factor
    return x, scale


def _subspace(x: NDArray[np.float32], rank: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an orthonormal basis, d x (rank + some), of the leading directions of n rows."""
    d = x.shape[1]
    if d <= max(rank + _MORE, _FEW):
        return np.eye(d, dtype=np.float32)
    basis = rng.standard_normal((d, rank + _MORE), np.float32)
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(x.T @ (x @ basis))[0]
    return basis
