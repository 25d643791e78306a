"""The mini-batch that is checked, and its cost."""

from __future__ import annotations

import numpy as np

from backprop_cli.gradcheck.problem import Problem, make_problem
from backprop_cli.plan import Batches
from backprop_cli.solvers.descent import Descent


def first_batch(descent: Descent, examples: int | None, kink: float) -> tuple[Batches, int]:
    """Return a training's first mini-batch, and how many examples were left out of it.

    Parameters
    ----------
    descent
        The training; kinks are looked for at its weights.
    examples
        How many examples of the mini-batch to take; None: all.
    kink
        Examples closer to a kink of the loss than this are left out; see `Precision`.
    """
    batches = descent.plan.epoch(0).some(0, 1)
    if examples is not None:
        n = min(examples, len(batches.block.rows))
        batches = Batches(batches.block.part(0, n), np.array([0, n]))
    clear = _without_kinks(descent, batches, kink)
    return clear, len(batches.block.rows) - len(clear.block.rows)


def problem_of(descent: Descent, batches: Batches) -> Problem:
    """Return the cost of a mini-batch at a training's weights."""
    state = descent.state
    return make_problem(
        descent.dataset,
        descent.settings,
        descent.standardization,
        (state.W[0], state.b[0]),
        batches.block,
    )


def _without_kinks(descent: Descent, batches: Batches, share: float) -> Batches:
    """Leave out examples that rounding may put on the other side of a kink."""
    problem = problem_of(descent, batches)
    if problem.loss.kinks is None:
        return batches
    scores = problem.scores()
    reach = share * max(1.0, float(np.abs(scores).max()))
    clear = (np.abs(problem.loss.kinks(scores, problem.Y)) > reach).all(axis=0)
    block = batches.block
    mirrored = None if block.mirrored is None else block.mirrored[clear]
    rows = block.rows[clear]
    return Batches(block._replace(rows=rows, mirrored=mirrored), np.array([0, len(rows)]))
