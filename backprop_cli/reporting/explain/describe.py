"""Runs both passes for one example and describes them, step by step, as plain values."""

from __future__ import annotations

import numpy as np

from backprop_cli.errors import DataError
from backprop_cli.gradcheck import make_problem
from backprop_cli.graph import (
    OPERATIONS,
    BackwardPass,
    Edge,
    Graph,
    Node,
    backward_pass,
    forward_mode,
    forward_pass,
)
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
from backprop_cli.settings import Settings
from backprop_cli.solvers.start import check_against_data, initial_parameters
from backprop_cli.sources import Dataset, survey, to_planes

_MAX_TANGENT_ENTRIES = 2_000_000  # 16 MB; up to here forward mode runs on all coordinates
_FEW_COORDINATES = 8


def explain(dataset: Dataset, settings: Settings, index: int) -> Explanation:
    """Explain the gradient of one training example at the weights that training starts from.

    Parameters
    ----------
    dataset
        The examples.
    settings
        The loss, the penalty, and the initial weights of one model.
    index
        The index of the example in the training split, from 0.

    Raises
    ------
    DataError
        If there is no such example, or the data does not have what the settings ask for.
    """
    check_against_data(settings, dataset)
    train, image = dataset.train, dataset.image
    if not 0 <= index < len(train):
        raise DataError(
            f"example {index}: expected 0 to {len(train) - 1}, "
            f"the training split has {len(train)} examples"
        )
    model = settings.models[0]
    standardization = survey(dataset, settings.standardize, settings.dtype).standardization
    weights, bias = initial_parameters(settings, dataset)
    block = train.block(index, index + 1)
    problem = make_problem(dataset, settings, standardization, (weights[0], bias[0]), block)
    example = Example(
        index=index,
        n_examples=len(train),
        label=int(block.labels[block.rows[0]]),
        class_names=dataset.class_names,
        features=np.array(to_planes(image, block.features[block.rows[0]])),
        image_shape=dataset.image_shape,
    )
    return describe_graph(
        problem.graph(),
        example,
        loss=model.loss.name,
        l2=model.l2,
        seed=model.seed,
        loss_of_equal_scores=model.loss.at_equal_scores(dataset.n_classes),
    )


def describe_graph(
    graph: Graph,
    example: Example,
    *,
    loss: str,
    l2: float,
    seed: int,
    loss_of_equal_scores: float,
) -> Explanation:
    """Describe both passes through a classifier's graph of one example, and what they cost.

    Parameters
    ----------
    graph
        From `classifier_graph`, for one example and any loss. The forward pass is run here.
    example
        The example.
    loss
        The name of the loss.
    l2
        lambda.
    seed
        The seed of the weights.
    loss_of_equal_scores
        The loss when all scores are equal, for comparison.
    """
    # A probability that underflows makes the loss infinite. The result says so, not a warning.
    with np.errstate(all="ignore"):
        forward_pass(graph)
        backward = backward_pass(graph)
        backward_steps = tuple(_backward_step(graph, node, backward) for node in backward.order)
        counts = {node.name: _forward_mode_count(graph, node) for node in _parameters(graph)}
    outcome = _outcome(graph, loss_of_equal_scores)
    return Explanation(
        example=example,
        outcome=outcome,
        meaning=words.meaning(example, outcome),
        loss=loss,
        l2=l2,
        seed=seed,
        forward=tuple(_forward_step(node) for node in graph.topological_order()),
        backward=backward_steps,
        reverse_mode_products=backward.products,
        forward_mode=counts,
    )


def _outcome(graph: Graph, loss_of_equal_scores: float) -> Outcome:
    scores = _child(graph["s"], "two_scores") or graph["s"]
    probabilities = _child(scores, "softmax")
    return Outcome(
        predicted=int(np.argmax(scores.value)),
        scores=scores.value,
        probabilities=None if probabilities is None else probabilities.value,
        loss=float(_loss(graph).value),
        cost=float(graph.result.value),
        loss_of_equal_scores=loss_of_equal_scores,
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
    result = graph.result.name
    from_children = [] if node is graph.result else node.uses
    for_parents = [Edge(node, position) for position in range(len(node.parents))]
    terms = tuple(_edge_jacobian(edge, backward) for edge in from_children)
    right_side = " + ".join(f"∂{result}/∂{term.child} {term.symbol}" for term in terms)
    return BackwardStep(
        name=node.name,
        chain_rule=f"∂{result}/∂{node.name} = {right_side or '1'}",
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
    """Return the lecture's short form of a gradient, or "" if it has none."""
    if z := _child(node, "matrix_vector"):
        weights, x = z.parents
        if node is weights:
            penalty = f" + 2 lambda {weights.name}" if _child(weights, "sum_of_squares") else ""
            return f"gᵀ {x.name}ᵀ{penalty}, g = ∂{graph.result.name}/∂{z.name}"
    if (p := _child(node, "softmax")) and (loss := _child(p, "cross_entropy")):
        mean = _child(loss, "weighted_mean")
        weight = f"{mean.parents[0].name}_1 " if mean else ""
        return f"−{weight}({loss.parents[1].name} − {p.name})ᵀ"
    return ""


def _child(node: Node, operation: str) -> Node | None:
    """Return the child that an operation of the table computes from the node, if there is one."""
    return next((c for c in node.children if c.operation is OPERATIONS[operation]), None)


def _loss(graph: Graph) -> Node:
    """Return the loss of the example: the only node that is computed from the target."""
    return graph["y"].children[0]


def _parameters(graph: Graph) -> list[Node]:
    return [node for node in graph.topological_order() if node.kind == "parameter"]


def _forward_mode_count(graph: Graph, parameter: Node) -> ForwardModeCount:
    """Run forward mode on all coordinates of a parameter, or on a few if there are too many."""
    size = parameter.size
    longest = max(node.size for node in graph.topological_order() if node.kind == "computed")
    measured = size if size * longest <= _MAX_TANGENT_ENTRIES else min(_FEW_COORDINATES, size)
    products = forward_mode(graph, parameter, range(measured)).products
    return ForwardModeCount(size, measured, products // measured * size)
