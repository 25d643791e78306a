"""What an engine is: the arithmetic on examples, behind one contract.

An engine is built for a `Task` and is a function of its arguments: parameters and a block of
examples go in, sums over the examples come out. Every engine is the same function; they differ in
speed and in what they can do. How an engine standardizes examples is its own affair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine.targets import Targets
from backprop_cli.losses import Array, Loss
from backprop_cli.plan import Batches
from backprop_cli.sources import Block, ImageLayout, Split, Standardization

Counts: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """What an engine computes: M linear classifiers on examples of d features and C classes.

    Attributes
    ----------
    losses
        The loss of each model, M.
    targets
        What the models are trained towards.
    n_outputs
        O: C scores per example, or a single one for two classes.
    standardization
        Of the features, in the order in which they are stored.
    splits
        The training split, then others that will be evaluated.
    dtype
        What is computed in: float32 or float64.
    batch_size
        The largest number of examples of one step.
    threads
        How many threads may work.
    """

    losses: tuple[Loss, ...]
    targets: Targets
    n_outputs: int
    standardization: Standardization
    splits: tuple[Split, ...]
    dtype: np.dtype[Any]
    batch_size: int
    threads: int

    @property
    def n_models(self) -> int:
        """The number of models, M."""
        return len(self.losses)

    @property
    def n_features(self) -> int:
        """The number of features, d."""
        return len(self.standardization.mean)

    @property
    def image(self) -> ImageLayout | None:
        """How examples are images."""
        return self.splits[0].source.image if self.splits else None


class Sums(NamedTuple):
    """Sums over n examples: nothing is divided by n, and nothing is added for the penalty.

    Attributes
    ----------
    loss
        sum_i v_i l_i of each model, M, float64; v_i is the weight of the example's class times the
        example's own.
    dW
        sum_i v_i dl_i/dW = G X^T, M x O x d.
    db
        sum_i v_i dl_i/db = G 1, M x O.
    n
        The number of examples.
    """

    loss: NDArray[np.float64]
    dW: Array
    db: Array
    n: int

    def plus(self, other: Sums) -> Sums:
        """Return the sums over both examples."""
        return Sums(
            self.loss + other.loss, self.dW + other.dW, self.db + other.db, self.n + other.n
        )


def require_as_stored(block: Block) -> None:
    """Refuse mirrored examples: an evaluation takes them as they are stored."""
    if block.mirrored is not None:
        raise ValueError("expected examples as they are stored, found mirrored ones")


@dataclass
class DescentState:
    """M models in the middle of gradient descent. Arrays are changed in place.

    Attributes
    ----------
    W, b
        M x O x d and M x O; features in the order in which they are stored.
    velocity_W, velocity_b
        V of W and of b, of the same shapes; empty if no model has momentum.
    momentum
        rho of each model, M.
    nesterov
        Whether each model looks ahead, M.
    l2
        lambda of each model, M.
    """

    W: Array
    b: Array
    velocity_W: Array
    velocity_b: Array
    momentum: Array
    nesterov: NDArray[np.bool_]
    l2: Array

    def part(self, models: slice, outputs: slice) -> DescentState:
        """Return some outputs of some models; the arrays are views."""
        moves = len(self.velocity_W) > 0
        return DescentState(
            W=self.W[models, outputs],
            b=self.b[models, outputs],
            velocity_W=self.velocity_W[models, outputs] if moves else self.velocity_W,
            velocity_b=self.velocity_b[models, outputs] if moves else self.velocity_b,
            momentum=self.momentum[models],
            nesterov=self.nesterov[models],
            l2=self.l2[models],
        )

    def arrays(self) -> dict[str, Array]:
        """Return what moves, by name."""
        return {
            "W": self.W,
            "b": self.b,
            "velocity_W": self.velocity_W,
            "velocity_b": self.velocity_b,
        }

    def some(self, models: list[int]) -> DescentState:
        """Return a copy of some models."""
        moves = len(self.velocity_W) > 0
        return DescentState(
            W=self.W[models],
            b=self.b[models],
            velocity_W=self.velocity_W[models] if moves else self.velocity_W,
            velocity_b=self.velocity_b[models] if moves else self.velocity_b,
            momentum=self.momentum[models],
            nesterov=self.nesterov[models],
            l2=self.l2[models],
        )


class Outcomes(NamedTuple):
    """The loss of every example, without any weight, and its decision; M x n each."""

    losses: Array
    decisions: NDArray[np.intp]


class Engine(Protocol):
    """The contract of all engines.

    Attributes
    ----------
    examples_at_once
        Examples per call at which `outcomes` is fastest.
    """

    examples_at_once: int

    def sums(self, W: Array, b: Array, block: Block, right: Counts | None = None) -> Sums:
        """Return the sums of loss and gradient over a block's examples.

        Parameters
        ----------
        W, b
            M x O x d and M x O.
        block
            At most ``batch_size`` examples of the training split.
        right
            Gets how many of the decisions are right, M, where that is asked for.

        Returns
        -------
        Sums
            Its arrays may be overwritten by the next call.
        """
        ...

    def outcomes(self, W: Array, b: Array, block: Block, targets: Targets) -> Outcomes:
        """Return the losses towards ``targets``, and the decisions, for some examples.

        They are evaluated as they are stored: ``block.mirrored`` is None.
        """
        ...

    def scores(self, W: Array, b: Array, block: Block) -> Array:
        """Return S = W X + b 1^T, M x O x n; may be overwritten by the next call.

        It is for measures that `outcomes` does not have, and need not be as fast.
        """
        ...

    def prepare(self) -> bool:
        """Start slow preparation, such as compiling, and wait about a second for it.

        Returns whether all is ready; if not, `wait` returns when it is. To be called again is
        harmless.
        """
        ...

    def wait(self) -> None:
        """Wait until all is ready."""
        ...


@runtime_checkable
class FusedEngine(Engine, Protocol):
    """An engine that makes whole steps itself, where no other process takes part in them."""

    def steps(
        self,
        state: DescentState,
        batches: Batches,
        rates: Array,
        max_losses: NDArray[np.float64],
        right: Counts | None = None,
    ) -> tuple[int, NDArray[np.float64]]:
        """Make a step per mini-batch.

        Parameters
        ----------
        state
            Changed in place.
        batches
            Mini-batches of ``batch_size`` examples each; the last may be short.
        rates
            eta, steps x M.
        max_losses
            The largest loss to go on with, one per model.
        right
            Gets, of every step that is made, how many of the decisions before it are right,
            steps x M, where that is asked for.

        Returns
        -------
        made
            How many steps were made: fewer than asked for if in the next one a loss is NaN or
            above ``max_losses``. Nothing has moved in that step.
        losses
            The mean loss of every step, that one included; M each.
        """
        ...
