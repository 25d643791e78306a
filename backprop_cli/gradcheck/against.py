"""Holds a gradient of the user's own against the derivations, and says what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_cli.errors import ConfigError
from backprop_cli.gradcheck.batch import first_batch, problem_of
from backprop_cli.gradcheck.by_example import loop_over_examples, mean_terms
from backprop_cli.gradcheck.compare import Checked, coordinates_of, usable
from backprop_cli.gradcheck.comparison import PRECISIONS, Comparison, Quantity, floor_of
from backprop_cli.gradcheck.diagnosis import hints, places
from backprop_cli.gradcheck.measured import measure
from backprop_cli.gradcheck.own import OwnGradient
from backprop_cli.solvers.descent import Descent

_TOLERANCE = {"float64": 1e-6, "float32": 1e-4}  # by the number type of the answer


@dataclass(frozen=True)
class OwnCheck:
    """A gradient of the user's, compared.

    Attributes
    ----------
    checked
        What was compared.
    comparisons
        With each derivation, and with the engine; W first, then b.
    places
        Which rows and columns of dW, and which entries of db, are wrong; by ``dJ/dW``, ``dJ/db``.
    hints
        The mistakes that have a name.
    notes
        What is no mistake in the numbers, but may be one in what is done with them.
    """

    checked: Checked
    comparisons: tuple[Comparison, ...]
    places: dict[str, list[str]]
    hints: list[str]
    notes: list[str]

    @property
    def agrees(self) -> bool:
        """Whether nothing is wrong."""
        return not self.hints and all(row.agrees for row in self.comparisons)

    def to_mapping(self) -> dict[str, Any]:
        """Return plain objects for JSON."""
        return {
            "agrees": self.agrees,
            "function": self.checked.engine,
            "examples": self.checked.n_examples,
            "rows": [row.to_mapping() for row in self.comparisons],
            "places": self.places,
            "hints": self.hints,
            "notes": self.notes,
        }


def compare_own(
    own: OwnGradient, descent: Descent, samples: int | None, seed: int, examples: int | None
) -> OwnCheck:
    """Compare the user's gradient of the whole cost J; the parameters are those of `compare`.

    Raises
    ------
    ConfigError
        The examples have weights, which the function is not given, or none is clear of a kink.
    UserCodeError
        The function fails, or does not return dW and db.
    """
    batches, left_out = first_batch(descent, examples, PRECISIONS[descent.settings.dtype].kink)
    problem = problem_of(descent, batches)
    if (problem.example_weights != 1).any():
        raise ConfigError(
            "--against: the function is not given weights of examples; leave out "
            "training.class_weights and data.weights"
        )
    n = len(batches.block.rows)
    if n == 0:
        raise ConfigError("--against: every example is at a kink; take another training.seed")
    answer = own(problem)
    dtype = "float32" if answer.single_precision else "float64"
    precision, tolerance = PRECISIONS[dtype], _TOLERANCE[dtype]
    cost = "J" if problem.l2 > 0 else "L"
    engine = f"{descent.engine_name}, {descent.settings.dtype}"
    measured = measure(descent, batches).cost
    terms = mean_terms(problem)
    rows: list[Comparison] = []
    where: dict[str, list[str]] = {}
    wrong = set()
    for index, (parameter, gradient) in enumerate((("W", answer.dW), ("b", answer.db))):
        right = loop_over_examples(problem, parameter, np.arange(gradient.size))[0]
        floor = max(
            floor_of({parameter: right}, precision.floor),
            precision.rounding(n) * terms[parameter],
        )
        quantity = Quantity(str(own.place), cost, parameter, gradient, floor)
        drawn = coordinates_of(gradient.size, samples, seed, index)
        for kind, way in usable(problem).items():
            rows.append(way.compare(kind, quantity, problem, drawn, tolerance))
        rows.append(_with_engine(quantity, engine, measured[parameter], tolerance, descent))
        found = places(gradient, right.reshape(gradient.shape), floor, tolerance)
        if found:
            where[f"d{cost}/d{parameter}"] = found
            wrong.add(parameter)
    engine_floor = max(precision.floor, PRECISIONS[descent.settings.dtype].floor)
    checked = Checked(str(own.place), n, left_out, precision.floor, engine_floor)
    return OwnCheck(checked, tuple(rows), where, hints(problem, answer, wrong), answer.notes)


def _with_engine(
    quantity: Quantity, engine: str, values: Any, tolerance: float, descent: Descent
) -> Comparison:
    """Compare with the engine that trains, as closely as its number type permits."""
    own = PRECISIONS[descent.settings.dtype]
    coarse = Quantity(
        quantity.engine,
        quantity.cost,
        quantity.parameter,
        quantity.values,
        max(quantity.floor, own.floor * float(np.abs(values).max())),
    )
    flat = values.ravel()
    nothing = np.zeros(len(flat))
    return coarse.compare(
        engine, max(tolerance, own.tolerance), np.arange(len(flat)), flat, nothing
    )
