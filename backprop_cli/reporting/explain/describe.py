"""Runs the passes for one example and describes them, step by step, as plain values."""

from __future__ import annotations

import math

import numpy as np

from backprop_cli.config import Config
from backprop_cli.errors import DataError
from backprop_cli.graph import (
    BackwardPass,
    Edge,
    Graph,
    Node,
    backward_pass,
    forward_mode,
    forward_pass,
)
from backprop_cli.problem import make_problem
from backprop_cli.reporting.explain import words
from backprop_cli.reporting.explain.explanation import (
    BackwardStep,
    EdgeJacobian,
    Example,
    Explanation,
    ForwardModeCount,
    ForwardStep,
    Outcome,
)
from backprop_cli.sources import Dataset

_MOST_TANGENT_ENTRIES = 2_000_000  # 16 MB: forward mode runs on all coordinates up to here
_FEW_COORDINATES = 8


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
    graph = problem.graph()
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
