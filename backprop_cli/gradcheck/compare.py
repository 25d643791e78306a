"""Holds the engine that a config trains with against derivations of its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backprop_cli.fitting import prepare
from backprop_cli.gradcheck.by_example import loop_over_examples, mean_terms
from backprop_cli.gradcheck.by_graph import evaluated_graph, graph_backward, graph_forward
from backprop_cli.gradcheck.comparison import PRECISIONS, Comparison, Precision, Quantity, floor_of
from backprop_cli.gradcheck.complex_step import complex_step
from backprop_cli.gradcheck.measured import Measured, Step, measure
from backprop_cli.gradcheck.numeric import centred_differences
from backprop_cli.gradcheck.problem import Problem, make_problem
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


DERIVATIONS = {
    "loop over examples": Derivation(loop_over_examples, 1e-9, complete=True),
    "graph, backward pass": Derivation(graph_backward, 1e-9, complete=True),
    "graph, forward mode": Derivation(graph_forward, 1e-9),
    "centred differences": Derivation(centred_differences, 1e-6),
    "complex step": Derivation(complex_step, 1e-9, smooth=True),
}
"""The second opinions on an engine's gradient, by name."""

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
    tolerance, floor
        What counts as agreement; see `Precision`.
    """

    engine: str
    n_examples: int
    left_out: int
    tolerance: float
    floor: float


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
    batches = descent.plan.epoch(0).some(0, 1)
    if examples is not None:
        batches = _first(batches, examples)
    size = len(batches.block.rows)
    batches = _without_kinks(descent, batches, precision.kink)
    left = len(batches.block.rows)
    yield Checked(name, left, size - left, precision.tolerance, precision.floor)
    if not left:
        return
    problem = _problem(descent, batches)
    measured = measure(descent, batches)
    unmirrored = Batches(batches.block._replace(mirrored=None), batches.starts)
    as_stored = _problem(descent, unmirrored)
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
            drawn = _coordinates(gradient.size, samples, seed, index)
            for kind, way in DERIVATIONS.items():
                if way.smooth and not part.loss.smooth:
                    continue
                coordinates = np.arange(gradient.size) if way.complete else drawn
                with np.errstate(all="ignore"):  # what is not finite is set apart
                    values, uncertainty = way.derive(part, parameter, coordinates)
                tolerance = max(way.tolerance, precision.tolerance)
                yield quantity.compare(kind, tolerance, coordinates, values, uncertainty)
    yield from _step(name, problem, measured.step, precision, roundings)


def _problem(descent: Descent, batches: Batches) -> Problem:
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
    problem = _problem(descent, batches)
    if problem.loss.kinks is None:
        return batches
    scores = problem.scores()
    reach = share * max(1.0, float(np.abs(scores).max()))
    clear = (np.abs(problem.loss.kinks(scores, problem.Y)) > reach).all(axis=0)
    block = batches.block
    mirrored = None if block.mirrored is None else block.mirrored[clear]
    rows = block.rows[clear]
    return Batches(block._replace(rows=rows, mirrored=mirrored), np.array([0, len(rows)]))


def _first(batches: Batches, examples: int) -> Batches:
    """Return a mini-batch of the first examples of another one."""
    n = min(examples, len(batches.block.rows))
    return Batches(batches.block.part(0, n), np.array([0, n]))


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
            quantity = Quantity(name, "step", prefix + parameter, values, floor)
            yield quantity.compare(
                "update rule", precision.tolerance, np.arange(values.size),
                expected[parameter].reshape(-1), np.zeros(values.size),
            )  # fmt: skip


def _coordinates(size: int, samples: int | None, seed: int, index: int) -> NDArray[np.intp]:
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
