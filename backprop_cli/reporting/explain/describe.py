"""Runs the passes for one example and describes them, step by step, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config
from backprop_cli.datasets import Dataset
from backprop_cli.errors import DataError
from backprop_cli.graph import (
    BackwardPass,
    Edge,
    Graph,
    Node,
    backward_pass,
    classifier_graph,
    forward_mode,
    forward_pass,
)
from backprop_cli.problem import make_problem
from backprop_cli.reporting.explain import words

Array = NDArray[np.float64]

SHORT = 16
"""A value of at most so many numbers is written out."""

_MOST_TANGENT_ENTRIES = 2_000_000  # 16 MB: forward mode runs on all coordinates up to here
_FEW_COORDINATES = 8


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


def explain(config: Config, dataset: Dataset, index: int) -> Explanation:
    """Describe the graph of one training example: both passes, and what they cost.

    Parameters
    ----------
    config
        Says the loss, the penalty, and where W starts.
    dataset
        The config's data.
    index
        Number of the example in the training split, from 0.

    Raises
    ------
    DataError
        If there is no such example.
    """
    train = dataset.train
    if not 0 <= index < len(train):
        raise DataError(
            f"example {index}: expected 0 to {len(train) - 1}, "
            f"the training split has {len(train)} examples"
        )
    rows = train.rows[index : index + 1]
    problem = make_problem(config, dataset, rows)
    weighted = bool((problem.example_weights != 1).any())
    graph = classifier_graph(
        problem.W,
        problem.b,
        problem.rows,
        problem.Y.T,
        loss=problem.loss,
        l2=problem.l2,
        example_weights=problem.example_weights if weighted else None,
    )
    # A probability that underflows makes the loss infinite; that is said, not warned of.
    with np.errstate(all="ignore"):
        forward_pass(graph)
        backward = backward_pass(graph)
        backward_steps = tuple(_backward_step(graph, node, backward) for node in backward.order)
        counts = {name: _forward_mode_count(graph, graph[name]) for name in problem.parameters}
    return Explanation(
        example=Example(
            index=index,
            n_examples=len(train),
            label=int(train.labels[rows[0]]),
            class_names=dataset.class_names,
            features=np.array(train.features[rows[0]]),
            image_shape=dataset.image_shape,
        ),
        outcome=_outcome(graph, dataset.n_classes),
        loss=problem.loss,
        l2=problem.l2,
        seed=config.training.seed,
        forward=tuple(_forward_step(node) for node in graph.topological_order()),
        backward=backward_steps,
        reverse_mode_products=backward.products,
        forward_mode=counts,
    )


def _outcome(graph: Graph, C: int) -> Outcome:
    scores = graph["t" if "t" in graph else "s"].value
    softmax = "p" in graph
    return Outcome(
        predicted=int(np.argmax(scores)),
        scores=scores,
        probabilities=graph["p"].value if softmax else None,
        loss=float(graph["l"].value),
        cost=float(graph.result.value),
        loss_of_equal_scores=math.log(C) if softmax else C - 1.0,
    )


def _forward_step(node: Node) -> ForwardStep:
    return ForwardStep(
        name=node.name,
        kind=node.kind,
        formula=node.formula,
        parents=tuple(parent.name for parent in node.parents),
        value=node.value,
        words=words.of_value(node),
    )


def _backward_step(graph: Graph, node: Node, backward: BackwardPass) -> BackwardStep:
    J = graph.result.name
    from_children = [] if node is graph.result else node.uses
    for_parents = [Edge(node, position) for position in range(len(node.parents))]
    terms = tuple(_edge_jacobian(edge, backward) for edge in from_children)
    right_side = " + ".join(f"∂{J}/∂{term.child} {term.symbol}" for term in terms)
    return BackwardStep(
        name=node.name,
        chain_rule=f"∂{J}/∂{node.name} = {right_side or '1'}",
        terms=terms,
        term_norms=tuple(
            float(np.linalg.norm(backward.gradients[edge.child] @ backward.jacobians[edge]))
            for edge in from_children
        ),
        simplified=_simplified(graph, node),
        gradient=backward.gradients[node],
        value_shape=node.value.shape,
        jacobians=tuple(_edge_jacobian(edge, backward) for edge in for_parents),
        words=words.of_gradient(node, graph.result),
    )


def _edge_jacobian(edge: Edge, backward: BackwardPass) -> EdgeJacobian:
    return EdgeJacobian(
        child=edge.child.name,
        parent=edge.parent.name,
        formula=edge.child.jacobian_formula(edge.position),
        shape=backward.jacobians[edge].shape,
    )


def _simplified(graph: Graph, node: Node) -> str:
    """Return the lecture's short form of a gradient, where it has one."""
    if node.kind == "parameter" and node.value.ndim == 2:
        penalty = " + 2 lambda W" if "r" in graph else ""
        return f"gᵀ xᵀ{penalty}, g = ∂{graph.result.name}/∂z"
    if any(child.name == "p" for child in node.children):
        weight = "v_1 " if "v" in graph else ""
        return f"−{weight}(y − p)ᵀ"
    return ""


def _forward_mode_count(graph: Graph, parameter: Node) -> ForwardModeCount:
    """Run forward mode on all coordinates of a parameter, or on a few if they are too many."""
    size = parameter.size
    longest = max(node.size for node in graph.topological_order() if node.kind == "computed")
    measured = size if size * longest <= _MOST_TANGENT_ENTRIES else min(_FEW_COORDINATES, size)
    products = forward_mode(graph, parameter, range(measured)).products
    return ForwardModeCount(size, measured, products // measured * size)


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
