"""Where an engine is compared: weights at which every part of the cost has a say."""

from __future__ import annotations

from backprop_cli.gradcheck.problem import make_problem
from backprop_cli.rng import Stream, generator
from backprop_cli.solvers.descent import Descent
from backprop_cli.sources import from_planes

_SPREAD = 1.5  # of the scores; some margins of an SVM are violated then, and some are not


def move_to_generic_point(descent: Descent, seed: int) -> None:
    """Give a training weights and biases at which a fault of any kind shows.

    Where training starts, b is 0 and nearly every margin is violated, so an engine that left out b,
    or the margin test, would agree with every derivation. Here W is drawn so that the scores of
    the first mini-batch have a spread of about 1.5, and b ~ N(0, 1).

    Parameters
    ----------
    descent
        Before its first step; its W and b are changed.
    seed
        Of W and b.
    """
    rng = generator(seed, Stream.POINT)
    state, image = descent.state, descent.dataset.image
    weights = rng.standard_normal(state.W.shape[1:])
    bias = rng.standard_normal(state.b.shape[1:])
    block = descent.plan.epoch(0).batch(0)
    problem = make_problem(
        descent.dataset,
        descent.settings,
        descent.standardization,
        (from_planes(image, weights), bias),
        block,
    )
    spread = float((problem.rows @ problem.W.T).std()) or 1.0
    state.W[...] = from_planes(image, weights * (_SPREAD / spread))
    state.b[...] = bias
