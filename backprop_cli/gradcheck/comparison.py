"""Comparing numbers of an engine with those of a derivation, coordinate by coordinate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.losses import Vector


@dataclass(frozen=True)
class Precision:
    """How closely the numbers of an engine can be compared.

    Attributes
    ----------
    tolerance
        The largest relative error that counts as agreement; right numbers stay far below it.
    floor
        Coordinates smaller than this share of the largest are compared in units of it: what
        rounding leaves of them says nothing about their last digits.
    kink
        Examples closer to a kink than this, in units of the largest score, are left out: rounding
        may put them on its other side.
    epsilon
        The distance from 1 to the next number.
    """

    tolerance: float
    floor: float
    kink: float
    epsilon: float

    def rounding(self, n_terms: int) -> float:
        """Return the floor for a mean of so many terms of size 1, which may cancel.

        Rounding errors add up like a random walk, to about sqrt(n) of them.
        """
        return self.epsilon * math.sqrt(n_terms) / self.tolerance


PRECISIONS = {
    "float32": Precision(1e-4, 5e-2, 1e-5, float(np.finfo(np.float32).eps)),
    "float64": Precision(1e-9, 1e-4, 1e-13, float(np.finfo(np.float64).eps)),
}
"""By the number type that an engine computes in."""

_MIN_FLOOR = 1e-9
_TIE = 1e-9  # relative; errors this close are equal


@dataclass(frozen=True)
class Comparison:
    """One derivation against one engine, for one quantity.

    Attributes
    ----------
    engine
        The engine and its number type: ``compiled, float32``.
    cost
        L, the data term alone; J, the whole cost; or step, what one step of descent moves.
    parameter
        W or b; V_W or V_b, the velocity after a step; L or J, a value: L (step) as a step of
        descent returns it, L (eval) as an evaluation does; decision.
    derivation
        What it is compared with.
    tolerance
        The largest relative error that counts as agreement.
    checked, apart
        Coordinates compared, and those set apart: a kink is near, a probability underflows, or
        rounding leaves too few digits of a difference.
    relative_error
        The largest: |a - n| / max(|a| + |n|, floor); 0 where nothing was compared.
    worst
        Index of that coordinate within the parameter; None where nothing was compared.
    engine_value, other_value
        The engine's number there, and the derivation's.
    """

    engine: str
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
        """Return the comparison as plain Python objects; what is not finite as None, for JSON."""
        plain = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in self.__dict__.items()
        }
        return {**plain, "agrees": self.agrees}


@dataclass(frozen=True)
class Quantity:
    """Numbers of an engine that are compared with those of several derivations.

    Attributes
    ----------
    engine, cost, parameter
        As in `Comparison`.
    values
        The engine's numbers, of any shape.
    floor
        Smaller numbers are compared in units of this one.
    """

    engine: str
    cost: str
    parameter: str
    values: Vector
    floor: float

    def compare(
        self,
        derivation: str,
        tolerance: float,
        coordinates: NDArray[np.intp],
        others: Vector,
        uncertainty: Vector,
    ) -> Comparison:
        """Compare some coordinates.

        Parameters
        ----------
        derivation, tolerance
            As in `Comparison`.
        coordinates
            Positions in the flattened values.
        others
            The derivation's numbers there.
        uncertainty
            How far each of them may be off, for reasons of the derivation alone; a coordinate
            that may be off by more than the tolerance is set apart.
        """
        acceptable = tolerance * np.fmax(np.abs(others), self.floor)
        # Where a derivation overflows, it says nothing; an engine that does so is wrong.
        apart = ~np.isfinite(others) | np.isinf(uncertainty) | (uncertainty > acceptable)
        what = (self.engine, self.cost, self.parameter, derivation, tolerance)
        coordinates, others = coordinates[~apart], others[~apart]
        if not len(coordinates):
            return Comparison(*what, 0, int(apart.sum()), 0.0, None, 0.0, 0.0)
        own = self.values.reshape(-1)[coordinates]
        with np.errstate(over="ignore", invalid="ignore"):
            distances = np.abs(own - others)
            errors = distances / np.maximum(np.abs(own) + np.abs(others), self.floor)
        # NaN counts as the largest. The error of a wrong sign is 1 everywhere: of equal ones, the
        # coordinate that is furthest off in numbers.
        largest = errors.max()
        ties = np.isnan(errors) if np.isnan(largest) else errors >= largest * (1 - _TIE)
        worst = int(np.argmax(np.where(ties, distances, -1.0)))
        return Comparison(
            *what,
            checked=len(coordinates),
            apart=int(apart.sum()),
            relative_error=float(errors[worst]),
            worst=tuple(int(i) for i in np.unravel_index(coordinates[worst], self.values.shape)),
            engine_value=float(own[worst]),
            other_value=float(others[worst]),
        )


def floor_of(values: dict[str, Vector], share: float) -> float:
    """Return a share of the largest of some numbers, but not nothing."""
    largest = max(float(np.abs(array).max()) for array in values.values())
    return max(share * largest, _MIN_FLOOR)
