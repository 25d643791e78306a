"""Holds the engine that a config trains with against derivations of its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backprop_cli.fitting import prepare
from backprop_cli.gradcheck.batch import first_batch, problem_of
from backprop_cli.gradcheck.by_example import loop_over_examples, mean_terms
from backprop_cli.gradcheck.by_graph import evaluated_graph, graph_backward, graph_forward
from backprop_cli.gradcheck.comparison import PRECISIONS, Comparison, Precision, Quantity, floor_of
from backprop_cli.gradcheck.complex_step import complex_step
from backprop_cli.gradcheck.measured import Measured, Step, measure
from backprop_cli.gradcheck.numeric import centred_differences
from backprop_cli.gradcheck.problem import Problem
from backprop_cli.losses import Vector
from backprop_cli.plan import Batches
from backprop_cli.rng import Stream, generator
from backprop_cli.solvers.descent import Descent


@dataclass(frozen=True)
class Derivation:
    """One way to a gradient.

    Attributes
    ----------
    derive
        Returns the derivatives at some coordinates of one parameter, and how far each may be off
        for reasons of this way alone: infinity where it says nothing.
    tolerance
        The largest relative error that counts as agreement, for an engine that computes in
        float64.
    complete
        Whether all coordinates cost no more than one, so that all are compared.
    smooth
        Whether it takes a smooth loss.
    """

    derive: Callable[[Problem, str, NDArray[np.intp]], tuple[Vector, Vector]]
    tolerance: float
    complete: bool = False
    smooth: bool = False

    def compare(
        self,
        name: str,
        quantity: Quantity,
        problem: Problem,
        drawn: NDArray[np.intp],
        tolerance: float,
    ) -> Comparison:
        """Compare a gradient of a problem's cost with what this way says of it.

        Parameters
        ----------
        name
            Of this way.
        quantity
            The gradient by one parameter.
        problem
            The cost.
        drawn
            The coordinates to compare, unless this way compares all.
        tolerance
            The least that counts as agreement, for the number type of the gradient.
        """
        coordinates = np.arange(quantity.values.size) if self.complete else drawn
        with np.errstate(all="ignore"):  # what is not finite is set apart
            values, uncertainty = self.derive(problem, quantity.parameter, coordinates)
        return quantity.compare(
            name, max(self.tolerance, tolerance), coordinates, values, uncertainty
        )


DERIVATIONS = {
    "loop over examples": Derivation(loop_over_examples, 1e-9, complete=True),
    "graph, backward pass": Derivation(graph_backward, 1e-9, complete=True),
    "graph, forward mode": Derivation(graph_forward, 1e-9),
    "centred differences": Derivation(centred_differences, 1e-6),
    "complex step": Derivation(complex_step, 1e-9, smooth=True),
}
"""The second opinions on an engine's gradient, by name."""


def usable(problem: Problem) -> dict[str, Derivation]:
    """Return the derivations that a problem's loss permits, by name."""
    return {name: way for name, way in DERIVATIONS.items() if problem.loss.smooth or not way.smooth}


_VALUE_FLOOR = 1e-9  # a smaller L is compared in units of this


@dataclass(frozen=True)
class Checked:
    """What is compared: an engine, and the mini-batch it is compared on.

    Attributes
    ----------
    engine
        The engine and its number type.
    n_examples
        The size of the mini-batch.
    left_out
        Examples that are too close to a kink for this number type.
    floor
        See `Precision`.
    engine_floor
        The floor where a gradient of the user's is compared with the engine that trains.
    """

    engine: str
    n_examples: int
    left_out: int
    floor: float
    engine_floor: float | None = None


def compare(
    descent: Descent, samples: int | None, seed: int, examples: int | None = None
) -> Iterator[Checked | Comparison]:
    """Compare an engine with every derivation: L and J, their gradients, a step, decisions.

    Parameters
    ----------
    descent
        Training before its first step. What is checked is its engine, on its first mini-batch, at
        its weights (`move_to_generic_point` gives it telling ones), through its standardization,
        its gathering and its update.
    samples
        How many coordinates of each parameter, drawn with ``seed``, for derivations whose cost
        grows with their number; None: all.
    examples
        How many examples of the mini-batch; None: all.

    Yields
    ------
    Checked, then Comparison
    """
    name = f"{descent.engine_name}, {descent.settings.dtype}"
    precision = PRECISIONS[descent.settings.dtype]
    batches, left_out = first_batch(descent, examples, precision.kink)
    left = len(batches.block.rows)
    yield Checked(name, left, left_out, precision.floor)
    if not left:
        return
    problem = problem_of(descent, batches)
    measured = measure(descent, batches)
    unmirrored = Batches(batches.block._replace(mirrored=None), batches.starts)
    as_stored = problem_of(descent, unmirrored)
    for parameter, derivation, of, value in (
        ("L", "graph, forward pass", problem, measured.loss),
        ("L", "definition", problem, measured.loss),
        ("L (step)", "definition", problem, measured.step_loss),
        ("L (eval)", "definition", as_stored, measured.evaluated_loss),
    ):
        quantity = Quantity(name, "L", parameter, np.array([value]), _VALUE_FLOOR)
        yield _value(quantity, precision.tolerance, derivation, of.without_penalty())
    yield _decisions(name, as_stored, measured, precision)
    unit = precision.rounding(left)
    roundings = {name: unit * size for name, size in mean_terms(problem).items()}
    costs = {"L": (problem.without_penalty(), measured.data_term)}
    if problem.l2 > 0:
        costs["J"] = (problem, measured.cost)
    for cost, (part, gradients) in costs.items():
        if cost == "J":
            own = Quantity(name, "J", "J", np.array([measured.cost_value]), _VALUE_FLOOR)
            yield _value(own, precision.tolerance, "graph, forward pass", part)
        for index, (parameter, gradient) in enumerate(gradients.items()):
            floor = max(floor_of({parameter: gradient}, precision.floor), roundings[parameter])
            quantity = Quantity(name, cost, parameter, gradient, floor)
            drawn = coordinates_of(gradient.size, samples, seed, index)
            for kind, way in usable(part).items():
                yield way.compare(kind, quantity, part, drawn, precision.tolerance)
    yield from _step(name, problem, measured.step, precision, roundings)


def _decisions(name: str, problem: Problem, measured: Measured, precision: Precision) -> Comparison:
    """Compare decisions with the largest of the scores, where no other is within rounding."""
    scores = problem.scores()
    ordered = np.sort(scores, axis=0)
    near = ordered[-1] - ordered[-2] <= precision.kink * max(1.0, float(np.abs(scores).max()))
    expected = scores.argmax(axis=0).astype(np.float64)
    quantity = Quantity(name, "L", "decision", measured.decisions, 1.0)
    uncertainty = np.where(near, np.inf, 0.0)
    return quantity.compare("definition", 0.0, np.arange(len(expected)), expected, uncertainty)


def _value(quantity: Quantity, tolerance: float, derivation: str, problem: Problem) -> Comparison:
    """Compare a value of L or J."""
    if derivation.startswith("graph"):
        expected = float(evaluated_graph(problem).result.value)
    else:
        losses = problem.loss.values(problem.scores(), problem.Y)
        expected = float(problem.example_weights @ losses) / len(losses)
    uncertainty = np.full(1, 0.0 if np.isfinite(expected) else np.inf)
    return quantity.compare(derivation, tolerance, np.arange(1), np.array([expected]), uncertainty)


def _step(
    name: str, problem: Problem, step: Step, precision: Precision, roundings: dict[str, float]
) -> Iterator[Comparison]:
    """Compare what a step did to W, b and V with the rule applied to the loop's gradient."""
    gradient = {
        parameter: loop_over_examples(problem, parameter, np.arange(array.size))[0].reshape(
            array.shape
        )
        for parameter, array in problem.parameters.items()
    }
    moved, velocity = step.expected(gradient)
    for prefix, found, expected, scale in (
        ("", step.moved, moved, step.rate),
        ("V_", step.velocity_after, velocity, 1.0),
    ):
        if not found:
            continue
        for parameter, values in found.items():
            own = {parameter: expected[parameter]}
            floor = max(floor_of(own, precision.floor), scale * roundings[parameter])
            if not prefix:  # the difference of two rounded numbers, which may be much larger
                theta = float(np.abs(problem.parameters[parameter]).max(initial=0.0))
                floor = max(floor, precision.epsilon * theta / precision.tolerance)
            quantity = Quantity(name, "step", prefix + parameter, values, floor)
            yield quantity.compare(
                "update rule", precision.tolerance, np.arange(values.size),
                expected[parameter].reshape(-1), np.zeros(values.size),
            )  # fmt: skip


def coordinates_of(size: int, samples: int | None, seed: int, index: int) -> NDArray[np.intp]:
    """Return which coordinates of a parameter to check: a sample, or all."""
    if samples is None or samples >= size:
        return np.arange(size)
    rng = generator(seed, Stream.COORDINATES, index)
    return np.sort(rng.choice(size, samples, replace=False))


def reference(descent: Descent) -> Descent | None:
    """Return the same training by NumPy in float64; None if it is that already."""
    if descent.settings.dtype == "float64" and descent.engine_name == "numpy":
        return None
    settings = replace(descent.settings, dtype="float64", engine="numpy")
    return prepare(
        descent.dataset, settings, descent.solver, standardization=descent.standardization
    )
