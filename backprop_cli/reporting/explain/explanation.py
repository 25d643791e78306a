"""What an explanation holds, as plain records, and what it is for JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.reporting.explain import words

Array = NDArray[np.float64]

SHORT = 16
"""A value of at most so many numbers is written out."""


@dataclass(frozen=True)
class Example:
    """The example that is explained.

    Attributes
    ----------
    index, n_examples
        Its number in the training split, from 0, and how many there are.
    label
        The number of its true class.
    class_names
        C names.
    features
        d numbers as the file has them, before standardization.
    image_shape
        (channels, height, width), or None where the features are no image.
    """

    index: int
    n_examples: int
    label: int
    class_names: tuple[str, ...]
    features: NDArray[Any]
    image_shape: tuple[int, int, int] | None


@dataclass(frozen=True)
class Outcome:
    """What the forward pass comes to.

    Attributes
    ----------
    predicted
        The number of the class with the largest score.
    scores
        C numbers; (-s/2, +s/2) for a classifier with one score s.
    probabilities
        C numbers, or None for the SVM loss.
    loss, cost
        l of this example; J with class weight and penalty, equal to l without them.
    loss_of_equal_scores
        What l would be if the classifier knew nothing.
    """

    predicted: int
    scores: Array
    probabilities: Array | None
    loss: float
    cost: float
    loss_of_equal_scores: float


@dataclass(frozen=True)
class ForwardStep:
    """A node gets its value. ``words`` is a sentence about it."""

    name: str
    kind: str
    formula: str
    parents: tuple[str, ...]
    value: Array
    words: str


@dataclass(frozen=True)
class EdgeJacobian:
    """The Jacobian d(child)/d(parent) of an edge."""

    child: str
    parent: str
    formula: str
    shape: tuple[int, ...]

    @property
    def symbol(self) -> str:
        """Its name: ``∂z/∂W``."""
        return f"∂{self.child}/∂{self.parent}"


@dataclass(frozen=True)
class BackwardStep:
    """A node gets its gradient, from its children; then come its Jacobians, for its parents.

    Attributes
    ----------
    name
        The node.
    chain_rule
        ``∂J/∂s = ∂J/∂p ∂p/∂s``.
    terms
        The Jacobian of each child by this node.
    term_norms
        The norm of each term, child's gradient times Jacobian.
    simplified
        What the chain rule comes to when it is multiplied out, or nothing.
    gradient
        1 x size of the node.
    value_shape
        The shape of the node's value: that of the gradient of a parameter as training sees it.
    jacobians
        The Jacobian of this node by each parent.
    words
        A sentence about the step.
    """

    name: str
    chain_rule: str
    terms: tuple[EdgeJacobian, ...]
    term_norms: tuple[float, ...]
    simplified: str
    gradient: Array
    value_shape: tuple[int, ...]
    jacobians: tuple[EdgeJacobian, ...]
    words: str


@dataclass(frozen=True)
class ForwardModeCount:
    """Multiplications that forward mode takes for one parameter.

    Attributes
    ----------
    coordinates
        The parameter's size.
    measured
        On how many of them forward mode was run. All cost the same.
    products
        For all coordinates.
    """

    coordinates: int
    measured: int
    products: int


@dataclass(frozen=True)
class Explanation:
    """Everything that the text, the JSON object, the DOT file and the page say."""

    example: Example
    outcome: Outcome
    loss: str
    l2: float
    seed: int
    forward: tuple[ForwardStep, ...]
    backward: tuple[BackwardStep, ...]
    reverse_mode_products: int
    forward_mode: dict[str, ForwardModeCount]

    @property
    def result(self) -> str:
        """The name of the result node."""
        return self.backward[0].name

    @property
    def forward_mode_products(self) -> int:
        """What forward mode takes for all parameters together."""
        return sum(count.products for count in self.forward_mode.values())

    @property
    def ratio(self) -> float:
        """How many times as much forward mode takes."""
        return self.forward_mode_products / self.reverse_mode_products

    def to_mapping(self) -> dict[str, Any]:
        """Return plain objects for JSON; numbers that are not finite become None."""
        example, outcome = self.example, self.outcome
        names = example.class_names
        p = outcome.probabilities
        return {
            "example": {
                "index": example.index,
                "label": example.label,
                "class": names[example.label],
            },
            "classes": list(names),
            "loss": self.loss,
            "l2": self.l2,
            "result": {
                "predicted": outcome.predicted,
                "predicted_class": names[outcome.predicted],
                "scores": _numbers(outcome.scores),
                "probabilities": None if p is None else _numbers(p),
                "loss": _number(outcome.loss),
                "cost": _number(outcome.cost),
                "meaning": words.meaning(example, outcome),
            },
            "forward": [
                {
                    "name": step.name,
                    "kind": step.kind,
                    "formula": step.formula,
                    "parents": list(step.parents),
                    **_figures(step.value),
                }
                for step in self.forward
            ],
            "backward": [
                {
                    "name": step.name,
                    "chain_rule": step.chain_rule,
                    "simplified": step.simplified or None,
                    "terms": [
                        {**_jacobian_mapping(term), "norm_of_term": _number(norm)}
                        for term, norm in zip(step.terms, step.term_norms, strict=True)
                    ],
                    "gradient": _figures(step.gradient),
                    "jacobians": [_jacobian_mapping(edge) for edge in step.jacobians],
                }
                for step in self.backward
            ],
            "products": {
                "reverse_mode": self.reverse_mode_products,
                "forward_mode": {
                    name: {
                        "products": count.products,
                        "coordinates": count.coordinates,
                        "measured_on": count.measured,
                    }
                    for name, count in self.forward_mode.items()
                },
                "ratio": self.ratio,
            },
        }


def _jacobian_mapping(edge: EdgeJacobian) -> dict[str, Any]:
    return {
        "child": edge.child,
        "parent": edge.parent,
        "formula": edge.formula,
        "shape": list(edge.shape),
    }


def _figures(array: Array) -> dict[str, Any]:
    """Return an array's shape and norm, and its content if it is short."""
    figures: dict[str, Any] = {
        "shape": list(array.shape),
        "norm": _number(float(np.linalg.norm(array))),
    }
    if array.size <= SHORT:
        figures["value"] = _numbers(np.ravel(array)) if array.ndim else _number(float(array))
    else:
        figures["min"], figures["max"] = _number(float(array.min())), _number(float(array.max()))
    return figures


def _numbers(values: Array) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
