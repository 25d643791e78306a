"""The directions of the features: the leading ones from a sample, or all from all examples."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.errors import DataError
from backprop_cli.losses import Array, Vector
from backprop_cli.rng import Stream, generator
from backprop_cli.sources import Block, Split, Standardization

_MAX_ROWS, _MAX_NUMBERS = 10_000, 10_000_000  # of the sample
_MAX_RANK = 400
_MIN_SHARE = 1e-3  # of the mean eigenvalue: a smaller one may be an accident of the sample
_MORE = 10  # directions beyond those that are kept, which make these accurate
_FEW = 64  # features of which all directions are taken: their eigenvalues are exact
_ITERATIONS = 2
_MAX_FEATURE = 1e150
_PART_NUMBERS = 500_000  # of the sample that are in float32 at once
_CHUNK_NUMBERS = 200_000  # that are converted at once: they stay in the cache
_FEW_ROWS, _MANY_ROWS = 4000, 16_000  # at which a Hessian is looked at
_PROJECTIONS = 2e10  # multiplications that such a look may take for its many rows
_MAX_WHOLE = 4096  # features of which all directions are taken: their covariance has 67 MB
_EIGENVECTORS = 22.0  # operations per d^3, at the rate of a large product: measured, for d = 3072
WHOLE_NUMBERS = 8_000_000
"""Features that are added to the covariance at once."""


class SecondMoment:
    """The covariance of the standardized features: its leading eigenvectors, from a sample.

        1/n sum_i (x_i - m) (x_i - m)^T  ~  V diag(e) V^T + e_rest (I - V V^T)

    By subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4). An approximation is
    enough: what is made of it is a preconditioner, which has no part in the result, or a learning
    rate. `refined` has all eigenvectors, of all examples.

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
        A sample: rows of the split's source, ascending, at which to look at a Hessian.
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
        rows = split.rows[chosen]
        self.rows = rows[:: -(-n // _FEW_ROWS)]
        self._split, self._standardization, self._seed = split, standardization, seed
        features = split.source.gather(rows)
        scale = _largest(features, standardization)
        if not scale <= _MAX_FEATURE:
            raise DataError(
                f"{split.source.name}: standardized features of up to {scale:.3g} are too large, "
                "as their squares are infinite: divide the features by a constant"
            )
        self._scale = scale
        v = None if weights is None else weights[chosen] / weights[chosen].mean()
        sample = _Sample(lambda rows: self._scaled(features[rows]), (n, d), v)
        self.mean: Vector = scale * sample.mean
        rank = min(d, max_rank, n)
        basis = _subspace(sample, rank, rng)
        square, products = 0.0, np.zeros((basis.shape[1], basis.shape[1]))
        for x in sample.parts():
            projected = (x @ basis).astype(np.float64)
            products += projected.T @ projected
            square += float(np.einsum("ij,ij->", x, x, dtype=np.float64))
        e, U = np.linalg.eigh(products / n)
        e *= scale**2
        self.trace = scale**2 * square / n
        self._set((basis @ U)[:, -rank:].astype(np.float64), e[-rank:])

    def cost_of_refining(self, n: int, n_scores: int) -> float:
        """Return how many passes of L-BFGS cost about as much as `refined`.

        Parameters
        ----------
        n, n_scores
            Examples of a process, and rows of W of all models that share a pass.

        Returns
        -------
        float
            Infinity where it would be too large, or no better.
        """
        d = len(self.mean)
        if d > min(len(self._split), _MAX_WHOLE) or self.V.shape[1] == d:
            return math.inf
        # A pass has 4 n d K operations, at a third of the rate of a large product.
        return (n * d + _EIGENVECTORS * d * d) / (12.0 * n * n_scores)

    def gain_of_refining(self, kappa: float, l2: float, tolerance: float) -> float:
        """Return about how many steps fewer one model takes with `refined`.

        The directions that are not known are treated alike, though their Hessian is between
        kappa e + 2 lambda for e of 0 and for e_rest. With the condition number c that is left,
        conjugate gradients take log(2 / tolerance) sqrt(c) / 2 steps (Nocedal and Wright, 2006,
        eq. 5.36).

        Parameters
        ----------
        kappa
            The mean curvature of the loss by a score.
        l2
            lambda.
        tolerance
            Of the relative gap.
        """
        least = kappa * self._floor + 2 * l2
        c = max(1.0, (kappa * self.rest + 2 * l2) / least) if least > 0 else 1.0
        return math.log(2 / min(1.0, tolerance)) / 2 * (math.sqrt(c) - 1)

    def refined(
        self,
        blocks: Iterable[Block],
        tell: Callable[[], None],
        add: Callable[[Array, Array], list[Array]],
    ) -> SecondMoment:
        """Return the same with all eigenvectors of the covariance of all examples.

        Parameters
        ----------
        blocks
            This process's examples.
        tell
            Called after each.
        add
            Adds arrays over all processes.
        """
        split, d = self._split, len(self.mean)
        shift = (self.mean / self._scale).astype(np.float32)  # so that no digits are lost
        products: Array = np.zeros((d, d), np.float32)
        total: Array = np.zeros(d)
        for block in blocks:
            x = self._scaled(block.features[block.rows])
            x -= shift
            products += x.T @ x
            total += x.sum(axis=0, dtype=np.float64)
            tell()
        products, total = add(products, total)
        if not np.isfinite(products).all():  # a feature is much larger than those of the sample
            return self
        products /= len(split)
        total /= len(split)
        products -= np.outer(total, total).astype(np.float32)
        own = copy.copy(self)
        own.mean = self.mean + self._scale * total
        own.trace = self._scale**2 * float(np.trace(products))
        e, V = np.linalg.eigh(products)
        own._set(V, e.astype(np.float64) * self._scale**2)
        rng = generator(self._seed, Stream.SECOND_MOMENT)
        most = min(_MANY_ROWS, max(_FEW_ROWS, int(_PROJECTIONS / (d * d))))
        chosen = rng.choice(len(split), min(len(split), most), replace=False)
        own.rows = np.sort(split.rows[chosen])
        return own

    def sample(self, at_once: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Yield the rows of the sample, some at once: their numbers, and x - m, n x d."""
        own, source = self._standardization, self._split.source
        for first in range(0, len(self.rows), at_once):
            rows = self.rows[first : first + at_once]
            x = (source.gather(rows) - own.mean) / own.std
            yield rows, (x - self.mean).astype(np.float32)

    def _set(self, V: Array, e: Vector) -> None:
        self._floor = _MIN_SHARE * self.trace / len(self.mean) or 1.0
        self.V, self.e = V, np.maximum(e, self._floor)
        self.rest = float(self.e[0])

    def _scaled(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Return the standardized features over their scale: float32 holds their squares."""
        own = self._standardization
        factor = 1 / (own.std * self._scale)
        n, d = features.shape
        x, step = np.empty((n, d), np.float32), max(1, _CHUNK_NUMBERS // d)
        for first in range(0, n, step):
            rows = slice(first, first + step)
            x[rows] = (features[rows] - own.mean) * factor
        return x


def _largest(features: NDArray[Any], standardization: Standardization) -> float:
    """Return the largest standardized feature; 1 where all are 0."""
    ends = np.stack([features.min(axis=0), features.max(axis=0)])
    return float(np.abs((ends - standardization.mean) / standardization.std).max()) or 1.0


class _Sample:
    """The rows of a sample less their mean, each times the root of its weight, part by part.

    Parameters
    ----------
    rows
        Returns some of the rows.
    shape
        n, d.
    v
        A weight per row, 1 on average; None: 1.

    Attributes
    ----------
    mean
        The weighted mean of the rows, d.
    """

    def __init__(
        self,
        rows: Callable[[slice], NDArray[np.float32]],
        shape: tuple[int, int],
        v: Vector | None,
    ) -> None:
        self._rows, self.shape, self._v = rows, shape, v
        n, d = shape
        step = max(1, _PART_NUMBERS // d)
        self._places = [slice(first, first + step) for first in range(0, n, step)]
        total: Vector = np.zeros(d)
        for place in self._places:
            x = rows(place)
            total += x.sum(axis=0, dtype=np.float64) if v is None else v[place] @ x
        self.mean = total / n

    def parts(self) -> Iterator[NDArray[np.float32]]:
        """Yield all rows, some at once."""
        for place in self._places:
            x = self._rows(place)
            x -= self.mean.astype(np.float32)
            if self._v is not None:
                x *= np.sqrt(self._v[place], dtype=np.float32)[:, None]
            yield x


def _subspace(sample: _Sample, rank: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an orthonormal basis, d x (rank + some), of the leading directions of n rows."""
    d = sample.shape[1]
    if d <= max(rank + _MORE, _FEW):
        return np.eye(d, dtype=np.float32)
    basis = rng.standard_normal((d, rank + _MORE), np.float32)
    for _ in range(_ITERATIONS):
        image = np.zeros_like(basis)
        for x in sample.parts():
            image += x.T @ (x @ basis)
        basis = np.linalg.qr(image)[0]
    return basis
