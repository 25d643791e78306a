"""A run of mini-batch steps, by NumPy: the reference that the compiled kernels are held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Array, BatchEngine
from backprop_cli.evaluation.evaluate import numpy_outcomes
from backprop_cli.objective import Objective
from backprop_cli.solvers.updates import GradientDescent
from backprop_cli.sources import MIDDLE, Gatherer, Split, Standardization

_FEW_ROWS = 64  # of W: standardizing them is cheaper than standardizing every mini-batch
_MOST_SPREADS = 2.0  # of what is left of a mean: a bit of float32 at most


class Folding(NamedTuple):
    """A standardization that is left to the engine, but for one number.

    ``mean``, d, is what remains of the mean when ``subtracted`` was taken from every feature;
    ``scale``, d, is 1 / std.
    """

    mean: Array
    scale: Array
    subtracted: float


class Steps(Protocol):
    """What moves W and b. Every implementation is the same function of the same arguments."""

    engine: BatchEngine
    update: GradientDescent

    def prepare(self, notice: Callable[[], None]) -> None:
        """Make ready; call ``notice`` first if that takes seconds."""

    def train(
        self,
        rows: NDArray[np.intp],
        mirrored: NDArray[np.bool_] | None,
        rates: Array,
        largest: NDArray[np.float64],
    ) -> tuple[int, NDArray[np.float64]]:
        """Make a step for each row of ``rates``.

        Parameters
        ----------
        rows
            Rows of the training split's features, mini-batch after mini-batch; the last may be
            short.
        mirrored
            Which of them are mirrored; None: none.
        rates
            eta, steps x M.
        largest
            The largest loss to go on with, a number a model.

        Returns
        -------
        made
            How many steps: fewer than asked if a loss is NaN or above ``largest`` in the next
            one, in which nothing has moved.
        losses
            Of every step, that one included; M each.
        """
        ...

    def outcomes(
        self, split: Split, rows: NDArray[np.intp], objective: Objective
    ) -> tuple[Array, NDArray[np.intp]]:
        """Return the losses and the decisions for some rows of any split, M x n each."""
        ...


class NumpySteps:
    """Steps by NumPy and its BLAS.

    Parameters
    ----------
    engine, update
        Of the models; the engine's ``folded`` is that of ``folding``.
    split
        The training examples.
    standardization
        Of their features.
    objective
        Targets and class weights.
    batch_size
        The most examples a step.
    most_rows
        The most examples that `outcomes` may be asked for.
    image_shape
        (channels, height, width), needed for mirroring only.
    folding
        What the engine does of the standardization; None: nothing.
    """

    def __init__(
        self,
        engine: BatchEngine,
        update: GradientDescent,
        split: Split,
        standardization: Standardization,
        objective: Objective,
        batch_size: int,
        most_rows: int,
        image_shape: tuple[int, int, int] | None,
        folding: Folding | None,
    ) -> None:
        self.engine, self.update = engine, update
        self._split, self._objective, self._batch_size = split, objective, batch_size
        self._gather = Gatherer(
            standardization,
            engine.W.dtype,
            max(batch_size, most_rows),
            image_shape,
            subtracts=None if folding is None else folding.subtracted,
        )
        self._targets = objective.buffer(batch_size)

    def prepare(self, notice: Callable[[], None]) -> None:
        """There is nothing to make ready."""

    def train(
        self,
        rows: NDArray[np.intp],
        mirrored: NDArray[np.bool_] | None,
        rates: Array,
        largest: NDArray[np.float64],
    ) -> tuple[int, NDArray[np.float64]]:
        """Make a step for each row of ``rates``; see `Steps.train`."""
        losses = np.empty(rates.shape)
        for step in range(len(rates)):
            batch = slice(step * self._batch_size, (step + 1) * self._batch_size)
            flags = None if mirrored is None else mirrored[batch]
            losses[step] = self.gradient(rows[batch], flags)
            if not (losses[step] <= largest).all():
                return step, losses[: step + 1]
            self.update.step(rates[step])
        return len(rates), losses

    def gradient(
        self, rows: NDArray[np.intp], mirrored: NDArray[np.bool_] | None
    ) -> NDArray[np.float64]:
        """Return the losses of one mini-batch, M, and leave the gradients in the engine."""
        labels = self._split.labels[rows]
        return self.engine.loss_gradient(
            self._gather(self._split.features, rows, mirrored),
            self._objective.targets(labels, self._targets),
            self._objective.example_weights(labels),
        )

    def outcomes(
        self, split: Split, rows: NDArray[np.intp], objective: Objective
    ) -> tuple[Array, NDArray[np.intp]]:
        """Return losses and decisions of some rows of any split; see `Steps.outcomes`."""
        return numpy_outcomes(self.engine, self._gather, split, rows, objective)


def folded_standardization(
    standardization: Standardization, n_rows: int, features: NDArray[Any], dtype: np.dtype[Any]
) -> Folding | None:
    """Return what the engine is to fold into W and b, or None if examples are to be standardized.

    ``n_rows`` is M O. The scores are the same; W is smaller than a mini-batch where models and
    classes are few. No digits are lost where the means are small against the spreads, of bytes
    perhaps after 128 was subtracted from all of them.
    """
    mean, std = standardization.mean, standardization.std
    if n_rows > _FEW_ROWS or dtype != np.float32:
        return None
    if not standardization.fits_float32(features.dtype):
        return None
    for subtracted in (MIDDLE, 0) if features.dtype == np.uint8 else (0,):
        if (np.abs(mean - subtracted) <= _MOST_SPREADS * std).all():
            return Folding((mean - subtracted).astype(dtype), (1 / std).astype(dtype), subtracted)
    return None
