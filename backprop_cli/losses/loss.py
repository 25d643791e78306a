"""What a loss consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
"""float32 or float64."""

Vector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Loss:
    """A loss l(s, y) of scores s and a target y, in the forms in which it is needed.

    `loss_gradient` and the kernel are what training runs. `by_example`, `values` and the steps in
    the graph are derivations of their own, which `backprop gradcheck` holds training against.

    Attributes
    ----------
    name : str
        The name in configs and model files.
    loss_gradient : callable
        ``losses, G = loss_gradient(S, Y)``: the loss of every example, M x n, and G = dl/dS,
        M x C x n, for scores S, M x C x n, and targets Y, M x C x n or 1 x C x n. S is scratch
        memory: its content is lost.
    by_example : callable
        ``l, g = by_example(s, y)``: the loss and its gradient for one example of C scores.
    values : callable
        ``losses = values(S, Y)``: the losses of n examples, by the definition, for scores and
        targets C x n. A smooth loss takes complex scores too.
    at_equal_scores : callable
        ``at_equal_scores(C)``: the loss of an example whose C scores are all equal.
    graph : tuple of (str, operation)
        The steps from scores to loss in the computational graph: the name of each node, and an
        operation of the graph (its name, or an `Operation`). Each step takes the node before it,
        the first one the scores; the last step takes the target as well.
    smooth : bool
        Whether l is analytic in s, so that the complex step applies.
    takes_soft_targets : bool
        Whether y may be any probability vector; otherwise it must be one-hot.
    smoothed : callable or None
        For a loss that is a sum of hinges max(0, s_j - s_y + 1): `loss_gradient` with the kinks
        rounded off, so that G_j goes from 0 to 1 over a short way. None for other losses.
    kinks : callable or None
        ``kinks(S, Y)``: how far each example is from each of its kinks, in units of the scores; the
        sign says on which side. None if the gradient has no jumps.
    curvature_bound : callable
        ``curvature_bound(C)``: a bound on the largest eigenvalue of d2l/ds2, for any scores. Where
        l has kinks, of l with its kinks rounded off over one unit of the scores.
    curvature : callable or None
        ``Q, U = curvature(S)``: for every example, d2l/ds2 = diag(q) - u u^T; all are C x n. None
        if l is not smooth.
    kernel : str or None
        The name of the loss in `backprop_cli.losses.kernels`, where all kernels of losses stand;
        None if only NumPy has it.
    """

    name: str
    loss_gradient: Callable[[Array, Array], tuple[Array, Array]]
    by_example: Callable[[Vector, Vector], tuple[float, Vector]]
    values: Callable[[NDArray[Any], Vector], NDArray[Any]]
    at_equal_scores: Callable[[int], float]
    graph: tuple[tuple[str, Any], ...]
    smooth: bool
    takes_soft_targets: bool
    curvature_bound: Callable[[int], float]
    curvature: Callable[[Array], tuple[Array, Array]] | None = None
    smoothed: Callable[[Array, Array], tuple[Array, Array]] | None = None
    kinks: Callable[[Vector, Vector], Vector] | None = None
    kernel: str | None = None
