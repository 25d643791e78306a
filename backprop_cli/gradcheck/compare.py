"""Compares derivations of one gradient, coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.gradcheck.numeric import centred_differences
from backprop_cli.problem import Problem, Vector
from backprop_cli.rng import Stream, generator

TOLERANCE = 1e-6
"""The largest relative error that counts as agreement; a right gradient stays far below it."""

# Coordinates this much smaller than the parameter's largest are compared in units of it: what
# rounding leaves of a difference quotient says nothing on their last digits.
_FLOOR, _ABSOLUTE_FLOOR = 1e-4, 1e-9

Derivation = Callable[[Problem, str, NDArray[np.intp]], tuple[Vector, NDArray[np.bool_]]]

DERIVATIONS: dict[str, Derivation] = {"centred differences": centred_differences}
"""What the engine is compared with: derivatives at coordinates, and which of them to set apart."""


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
    checked, apart
        Coordinates compared, and those set apart because the cost has a kink there.
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
    checked: int
    apart: int
    relative_error: float
    worst: tuple[int, ...] | None
    engine_value: float
    other_value: float

    @property
    def agrees(self) -> bool:
        """Whether the largest relative error is within `TOLERANCE` (NaN is not)."""
        return self.relative_error <= TOLERANCE

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
        for index, (parameter, gradient) in enumerate(gradients.items()):
            coordinates = _coordinates(gradient.size, samples, seed, index)
            for name, derivation in DERIVATIONS.items():
                values, apart = derivation(part, parameter, coordinates)
                yield _compare_one(
                    cost, parameter, name, gradient, coordinates[~apart], values[~apart], apart
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
    cost: str,
    parameter: str,
    derivation: str,
    gradient: Vector,
    coordinates: NDArray[np.intp],
    values: Vector,
    apart: NDArray[np.bool_],
) -> Comparison:
    own = gradient.reshape(-1)[coordinates]
    floor = max(_FLOOR * float(np.abs(gradient).max()), _ABSOLUTE_FLOOR)
    errors = np.abs(own - values) / np.maximum(np.abs(own) + np.abs(values), floor)
    checked = len(coordinates)
    worst = int(np.argmax(errors)) if checked else 0
    at = np.unravel_index(coordinates[worst], gradient.shape) if checked else None
    return Comparison(
        cost=cost,
        parameter=parameter,
        derivation=derivation,
        checked=checked,
        apart=int(apart.sum()),
        relative_error=float(errors[worst]) if checked else 0.0,
        worst=None if at is None else tuple(int(i) for i in at),
        engine_value=float(own[worst]) if checked else 0.0,
        other_value=float(values[worst]) if checked else 0.0,
    )
