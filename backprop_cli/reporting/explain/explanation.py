"""The content of an explanation: plain records, and a mapping for JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHORT = 16
"""Values of at most this many numbers are written out in full."""


@dataclass(frozen=True)
class Example:
    """The example that is explained.

    Attributes
    ----------
    index, n_examples
        Its index in the training split, from 0, and the size of that split.
    label
        The index of its true class.
    class_names
        C names.
    features
        d numbers as stored in the file, before standardization.
    image_shape
        (channels, height, width), or None if the features are not an image.
    """

    index: int
    n_examples: int
    label: int
    class_names: tuple[str, ...]
    features: NDArray[Any]
    image_shape: tuple[int, int, int] | None


@dataclass(frozen=True)
class Outcome:
    """The result of the forward pass.

    Attributes
    ----------
    predicted
        The index of the class with the largest score.
    scores
        C numbers; (-s/2, +s/2) for a classifier with a single score s.
    probabilities
        C numbers, or None if the loss does not compute any.
    loss, cost
        The loss of this example, and the cost: the loss with class weight and penalty.
    loss_of_equal_scores
        The loss of a classifier that gives all classes the same score.
    """

    predicted: int
    scores: Array
    probabilities: Array | None
    loss: float
    cost: float
    loss_of_equal_scores: float


@dataclass(frozen=True)
class ForwardStep:
    """A node gets its value. ``words`` is a sentence about the node."""

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
        """The Jacobian's symbol, such as ``∂z/∂W``."""
        return f"∂{self.child}/∂{self.parent}"


@dataclass(frozen=True)
class BackwardStep:
    """A node gets its gradient from its children, then its Jacobians for its parents.

    Attributes
    ----------
    name
        The node.
    chain_rule
        The gradient by the chain rule, such as ``∂J/∂s = ∂J/∂p ∂p/∂s``.
    terms
        The Jacobian of each child with respect to this node.
    term_norms
        The norm of each term of the chain rule: gradient of the child times Jacobian.
    simplified
        The chain rule multiplied out, or "" if there is no short form.
    gradient
        1 x size of the node.
    value_shape
        The shape of the node's value, and of the gradient as training uses it.
    jacobians
        The Jacobian of this node with respect to each parent.
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
    """The multiplications that forward mode takes for one parameter.

    Attributes
    ----------
    coordinates
        The size of the parameter.
    measured
        The number of coordinates on which forward mode was run. All cost the same.
    products
        The multiplications for all coordinates.
    """

    coordinates: int
    measured: int
    products: int


@dataclass(frozen=True)
class Explanation:
    """Everything that the text, the JSON object, the DOT file and the page say.

    ``loss`` is the name of the loss, ``meaning`` the result in words.
    """

    example: Example
    outcome: Outcome
    meaning: str
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
        """The multiplications of forward mode for all parameters together."""
        return sum(count.products for count in self.forward_mode.values())

    @property
    def ratio(self) -> float:
        """How many times as many multiplications forward mode takes."""
        return self.forward_mode_products / self.reverse_mode_products

    def to_mapping(self) -> dict[str, Any]:
        """Return plain objects for JSON. Numbers that are not finite become None."""
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
                "meaning": self.meaning,
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
    """Return shape and norm of an array, and its entries if there are few."""
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
