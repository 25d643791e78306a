"""Runs both passes through a graph and describes them, step by step, as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from backprop_cli.graph import (
    OPERATIONS,
    BackwardPass,
    Call,
    Edge,
    Graph,
    Node,
    back_op_calls,
    backward_pass,
    both_modes,
    compute_branch_calls,
    forward_mode,
    forward_pass,
    path_from,
)
from backprop_cli.graph.recursion import MAX_CALLS
from backprop_cli.reporting.explain import words
from backprop_cli.reporting.explain.explanation import (
    BackwardStep,
    Detail,
    EdgeJacobian,
    ForwardModeCount,
    ForwardStep,
    Modes,
    Recursion,
    Visit,
)

_MAX_TANGENT_ENTRIES = 2_000_000  # 16 MB; up to here forward mode runs on all coordinates
_FEW_COORDINATES = 8


def described(graph: Graph, *, classifier: bool) -> dict[str, Any]:
    """Return what an `Explanation` has of both passes, by the names of its attributes.

    Parameters
    ----------
    graph
        Any graph. The forward pass is run here.
    classifier
        Whether it is from `classifier_graph`: then the lecture's short forms hold.
    """
    # A probability that underflows makes the loss infinite. The result says so, not a warning.
    with np.errstate(all="ignore"):
        forward_pass(graph)
        backward = backward_pass(graph)
        backward_steps = tuple(
            _backward_step(graph, node, backward, classifier) for node in backward.order
        )
        forward = tuple(_forward_step(node, classifier) for node in graph.topological_order())
        starts = start_nodes(graph)
        counts = {node.name: _forward_mode_count(graph, node) for node in starts}
        modes = _modes(graph)
    return {
        "forward": forward,
        "backward": backward_steps,
        "reverse_mode_products": backward.products,
        "forward_mode": counts,
        "modes": modes,
        "recursion": _recursion(graph),
    }


def child_by(node: Node, operation: str) -> Node | None:
    """Return the child that an operation of the table computes from the node, if there is one."""
    return next((c for c in node.children if c.operation is OPERATIONS[operation]), None)


def start_nodes(graph: Graph) -> list[Node]:
    """Return the parameters; where there are none, the inputs that lead to the result."""
    leading = graph.leading_to(graph.result)
    starts = [node for node in leading if node.operation is None]
    return [node for node in starts if node.kind == "parameter"] or starts


def _forward_step(node: Node, classifier: bool) -> ForwardStep:
    return ForwardStep(
        name=node.name,
        kind=node.kind,
        formula=node.formula,
        parents=tuple(parent.name for parent in node.parents),
        value=node.value,
        words=words.of_value(node, classifier=classifier),
        details=_details(node),
    )


def _details(node: Node) -> tuple[Detail, ...]:
    """Return an SVM's margins, and which of them are violated."""
    if node.operation is not OPERATIONS["multiclass_svm"]:
        return ()
    s, y = (parent.value for parent in node.parents)
    margins = (1 - y) * (s - y @ s + 1)
    return (
        Detail("sⱼ − s_y + 1, by class; 0 for the true one", margins),
        Detail("violated: 1 where that is positive", np.where(margins > 0, 1.0, 0.0)),
    )


def _backward_step(
    graph: Graph, node: Node, backward: BackwardPass, classifier: bool
) -> BackwardStep:
    result = graph.result.name
    uses = [] if node is graph.result else node.uses
    from_children = [edge for edge in uses if edge in backward.jacobians]
    for_parents = [Edge(node, position) for position in range(len(node.parents))]
    terms = tuple(_edge_jacobian(edge, backward) for edge in from_children)
    right_side = " + ".join(f"∂{result}/∂{term.child} {term.symbol}" for term in terms)
    one = "1" if graph.result.size == 1 else "I"
    return BackwardStep(
        name=node.name,
        chain_rule=f"∂{result}/∂{node.name} = {right_side or one}",
        terms=terms,
        term_values=tuple(
            np.asarray(backward.gradients[edge.child] @ backward.jacobians[edge])
            for edge in from_children
        ),
        simplified=_simplified(graph, node) if classifier else "",
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
        numbers=backward.jacobians[edge],
    )


def _simplified(graph: Graph, node: Node) -> str:
    """Return the lecture's short form of a gradient, or "" if it has none."""
    if z := child_by(node, "matrix_vector"):
        weights, x = z.parents
        if node is weights:
            penalty = f" + 2 lambda {weights.name}" if child_by(weights, "sum_of_squares") else ""
            return f"gᵀ {x.name}ᵀ{penalty}, g = ∂{graph.result.name}/∂{z.name}"
    if (p := child_by(node, "softmax")) and (loss := child_by(p, "cross_entropy")):
        mean = child_by(loss, "weighted_mean")
        weight = f"{mean.parents[0].name}_1 " if mean else ""
        return f"−{weight}({loss.parents[1].name} − {p.name})ᵀ"
    return ""


def _forward_mode_count(graph: Graph, start: Node) -> ForwardModeCount:
    """Run forward mode on all coordinates of a start node, or on a few if there are too many."""
    size = start.size
    longest = max(node.size for node in graph.topological_order() if node.kind == "computed")
    measured = size if size * longest <= _MAX_TANGENT_ENTRIES else min(_FEW_COORDINATES, size)
    products = forward_mode(graph, start, range(measured)).products
    return ForwardModeCount(size, measured, products // measured * size)


def _modes(graph: Graph) -> Modes | None:
    """Return both modes along the first path from a start node; from x, if it has one."""
    starts = [node for node in graph.leading_to(graph.result) if node.operation is None]
    starts = [node for node in starts if node.size > 0]
    for start in sorted(starts, key=lambda node: (node.name != "x", node.kind == "parameter")):
        path = path_from(graph, start)
        if path is not None and start.value.size * graph.result.size <= _MAX_TANGENT_ENTRIES:
            found = both_modes(path)
            return Modes(
                start=start.name,
                sizes=(start.size, *(edge.child.size for edge in path)),
                forward=tuple(
                    (f"∂{s.of.name}/∂{s.by.name}", s.derivative, s.products) for s in found.forward
                ),
                reverse=tuple(
                    (f"∂{s.of.name}/∂{s.by.name}", s.derivative, s.products) for s in found.reverse
                ),
            )
    return None


def _recursion(graph: Graph) -> Recursion:
    branch, back = compute_branch_calls(graph), back_op_calls(graph)
    return Recursion(
        tuple(map(_visit, branch)),
        tuple(map(_visit, back)),
        ends=max(len(branch), len(back)) < MAX_CALLS,
    )


def _visit(call: Call) -> Visit:
    via = None if call.via is None else call.via.name
    missing = tuple(node.name for node in call.missing)
    return Visit(call.node.name, via, call.outcome, missing, call.depth)
