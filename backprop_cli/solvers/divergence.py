"""When a loss has left the range in which training can recover, and what to say then."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backprop_cli.communicator import Communicator
from backprop_cli.errors import DataError
from backprop_cli.losses import Array, Loss
from backprop_cli.sources import Block, Split, Standardization

_RUNAWAY = 1e6
_AT_ONCE = 1000  # examples
_FAR = 1e6  # mean square of standardized features: about 1 in the training split
_LARGE = 1e12  # mean |x|^2, or lambda: beyond, the learning rate is not what is wrong


def max_losses(losses: Sequence[Loss], n_classes: int) -> NDArray[np.float64]:
    """Return for each model the loss beyond which it is taken to run away.

    A million times that of equal scores (log C for softmax, C - 1 for the SVM): far above any loss
    that a usable rate gives, far below the largest float32.
    """
    return np.array([_RUNAWAY * loss.at_equal_scores(n_classes) for loss in losses])


def describe_divergence(
    W: Array, dW: Array, squares: float, *, l2: float, learning_rate: float, steps_made: int
) -> str:
    """Return what a user needs to know of a model whose loss ran away.

    Parameters
    ----------
    W, dW
        Its weights, and the gradient on the mini-batch in question.
    squares
        Mean |x|^2 of the standardized examples of that mini-batch.
    l2, learning_rate
        lambda and eta.
    steps_made
        How many steps of training came before.
    """
    told = f"learning rate {learning_rate:.4g}, |W| {_norm(W):.4g}, |dW| {_norm(dW):.4g}"
    if squares > _LARGE:
        return f"{told}; the features are large: set data.standardize, or scale them"
    if steps_made == 0:
        return (
            f"{told}, before any step: the initial weights are large, set model.initial_std lower"
        )
    if l2 > _LARGE:
        return f"{told}; l2 is {l2:.4g}: try a lower one"
    return (
        f"{told}; try a learning rate of {_suggested_rate(squares, l2, learning_rate):.0e} or less"
    )


def mean_square(
    block: Block, standardization: Standardization, communicator: Communicator
) -> float:
    """Return the mean of |x|^2 over the standardized examples of all processes."""
    x = block.features[block.rows].astype(np.float64)
    x = (x - standardization.mean) / standardization.std
    own = np.array([np.einsum("ij,ij->", x, x), len(x)])
    ((squares, n),) = communicator.sum(own)
    return float(squares / n)


def refuse_far_example(
    split: Split, standardization: Standardization, loss: float, place: str
) -> None:
    """Refuse a validation example far from the training split, whose loss alone runs away.

    Raises
    ------
    DataError
        Names the example that is farthest from the mean, if it is far.
    """
    row, square = _farthest_example(split, standardization)
    if square < _FAR:
        return
    raise DataError(
        f"{split.source.name}: the validation loss is {loss:.4g} at {place}, far above the "
        f"training loss: example {row} is far from the training split (mean square of its "
        f"standardized features: {square:.4g}); remove it, or scale the features"
    )


def _farthest_example(split: Split, standardization: Standardization) -> tuple[int, float]:
    """Return the row of the example that is farthest from the mean, and its mean square."""
    row, largest = int(split.rows[0]), -math.inf
    start = 0
    for block in split.blocks(_AT_ONCE):
        rows = split.rows[start : start + len(block.rows)]
        start += len(rows)
        x = block.features[block.rows].astype(np.float64)
        x = (x - standardization.mean) / standardization.std
        squares = np.einsum("ij,ij->i", x, x) / x.shape[1]
        k = int(np.argmax(squares))
        if squares[k] > largest:
            row, largest = int(rows[k]), float(squares[k])
    return row, largest


def _norm(values: Array) -> float:
    """Return the square root of the sum of squares, which float64 holds longer."""
    return float(np.linalg.norm(values.astype(np.float64)))


def _suggested_rate(squares: float, l2: float, rate: float) -> float:
    """Return a learning rate at which gradient descent is stable, rounded down to one digit.

    The curvature of softmax cross-entropy along W is at most mean |x|^2 / 2 + 2 lambda (its
    Hessian by the scores is at most 1/2; Boehning, 1992), and descent is stable below 2 over it.
    Where that is no help, because the rate is lower already, a tenth of the rate.
    """
    limit = 2.0 / (squares / 2.0 + 2.0 * l2 + 1.0)  # + 1: the bias is a feature that is 1
    safe = limit if rate == 0.0 or limit < rate else rate / 10.0
    digit = 10.0 ** math.floor(math.log10(safe))
    return math.floor(safe / digit + 1e-9) * digit
