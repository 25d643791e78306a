"""Compares derivations of one gradient, coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.gradcheck.by_example import loop_over_examples
from backprop_cli.gradcheck.by_graph import graph_backward, graph_forward
from backprop_cli.gradcheck.complex_step import complex_step
from backprop_cli.gradcheck.numeric import centred_differences
from backprop_cli.problem import Problem, Vector
from backprop_cli.rng import Stream, generator

# Coordinates this much smaller than the gradient's largest are compared in units of that: what
# rounding leaves of a difference quotient says nothing on their last digits.
_FLOOR, _ABSOLUTE_FLOOR = 1e-4, 1e-9


@dataclass(frozen=True)
class Derivation:
    """One way to a gradient.

    Attributes
    ----------
    derive
        Returns the derivatives at some coordinates of one parameter, and how far each may be off
        for reasons of this way alone: infinity where it says nothing.
    tolerance
        The largest relative error that counts as agreement; right gradients stay far below it.
        A coordinate that may be off by more is set apart.
    analytic
        Whether it takes a cost without kinks.
    """

    derive: Callable[[Problem, str, NDArray[np.intp]], tuple[Vector, Vector]]
    tolerance: float
    analytic: bool = False


DERIVATIONS = {
    "loop over examples": Derivation(loop_over_examples, 1e-9),
    "graph, backward pass": Derivation(graph_backward, 1e-9),
    "graph, forward mode": Derivation(graph_forward, 1e-9),
    "centred differences": Derivation(centred_differences, 1e-6),
    "complex step": Derivation(complex_step, 1e-9, analytic=True),
}
"""The second opinions on the batch engine's gradient, by name."""


@dataclass(frozen=True)
class Comparison:
    """One derivation against the batch engine, for one parameter.

    Attributes
    ----------
    cost
        L, the data term alone, or J.
    parameter
        W or b.
    derivation
        A name of `DERIVATIONS`.
    tolerance
        Of the derivation.
    checked, apart
        Coordinates compared, and those set apart: a kink is near, a probability underflows, or
        rounding leaves too few digits of a difference.
    relative_error
        The largest: |a - n| / max(|a| + |n|, floor); 0 where nothing was compared.
    worst
        Index of that coordinate within the parameter; None where nothing was compared.
    engine_value, other_value
        The derivative there, by the engine and by the derivation.
    """

    cost: str
    parameter: str
    derivation: str
    tolerance: float
    checked: int
    apart: int
    relative_error: float
    worst: tuple[int, ...] | None
    engine_value: float
    other_value: float

    @property
    def agrees(self) -> bool:
        """Whether the largest relative error is within the tolerance (NaN is not)."""
        return self.relative_error <= self.tolerance

    def to_mapping(self) -> dict[str, Any]:
        """Return the comparison as plain Python objects."""
        return {**self.__dict__, "agrees": self.agrees}


def compare(problem: Problem, samples: int | None, seed: int) -> Iterator[Comparison]:
    """Compare every derivation for every parameter, first the data term, then the whole cost.

    Parameters
    ----------
    problem
        The cost, and the point.
    samples
        How many coordinates of each parameter, drawn with ``seed``; None: all.
    """
    costs = {"L": problem.without_penalty()}
    if problem.l2 > 0:
        costs["J"] = problem
    for cost, part in costs.items():
        gradients = engine_gradient(part)
        largest = max(float(np.abs(gradient).max()) for gradient in gradients.values())
        floor = max(_FLOOR * largest, _ABSOLUTE_FLOOR)
        for index, (parameter, gradient) in enumerate(gradients.items()):
            coordinates = _coordinates(gradient.size, samples, seed, index)
            for name, derivation in DERIVATIONS.items():
                if derivation.analytic and part.loss != "softmax_cross_entropy":
                    continue
                values, uncertainty = derivation.derive(part, parameter, coordinates)
                least = derivation.tolerance * np.fmax(np.abs(values), floor)  # NaN is no excuse
                apart = uncertainty > least
                yield _compare_one(
                    (cost, parameter, name, derivation.tolerance),
                    gradient,
                    coordinates[~apart],
                    values[~apart],
                    int(apart.sum()),
                    floor,
                )


def engine_gradient(problem: Problem) -> dict[str, Vector]:
    """Return dJ/dW and dJ/db as the batch engine computes them, O x d and O."""
    engine = problem.engine()
    engine.loss_gradient(problem.rows, problem.Y[None], problem.example_weights)
    return {"W": engine.dW[0].astype(np.float64), "b": engine.db[0].astype(np.float64)}


def _coordinates(size: int, samples: int | None, seed: int, index: int) -> NDArray[np.intp]:
    if samples is None or samples >= size:
        return np.arange(size)
    rng = generator(seed, Stream.COORDINATES, index)
    return np.sort(rng.choice(size, samples, replace=False))


def _compare_one(
    what: tuple[str, str, str, float],
    gradient: Vector,
    coordinates: NDArray[np.intp],
    values: Vector,
    apart: int,
    floor: float,
) -> Comparison:
    if not len(coordinates):
        return Comparison(*what, 0, apart, 0.0, None, 0.0, 0.0)
    own = gradient.reshape(-1)[coordinates]
    errors = np.abs(own - values) / np.maximum(np.abs(own) + np.abs(values), floor)
    worst = int(np.argmax(errors))  # NaN counts as the largest
    return Comparison(
        *what,
        checked=len(coordinates),
        apart=apart,
        relative_error=float(errors[worst]),
        worst=tuple(int(i) for i in np.unravel_index(coordinates[worst], gradient.shape)),
        engine_value=float(own[worst]),
        other_value=float(values[worst]),
    )
