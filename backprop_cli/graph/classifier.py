"""The cost of a linear classifier as a computational graph, for any loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from backprop_cli.errors import GraphError
from backprop_cli.graph.graph import Graph
from backprop_cli.graph.jacobians import Array
from backprop_cli.graph.nodes import Node
from backprop_cli.graph.operation import Operation

LossSteps: TypeAlias = Sequence[tuple[str, str | Operation]]
"""The steps from the scores to the loss of one example: (name of the node, operation).

Each step takes the node before it, and the last one also takes the target y. An operation is a key
of `OPERATIONS` or an `Operation`. For softmax cross-entropy the steps are
``(("p", "softmax"), ("l", "cross_entropy"))``. Their names must differ from those of the other
nodes of `classifier_graph`.
"""


def classifier_graph(
    W: ArrayLike,
    b: ArrayLike,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    loss: LossSteps,
    l2: float,
    example_weights: ArrayLike | None = None,
) -> Graph:
    """Build the graph of a linear classifier's cost on n examples; its result is the cost.

    For softmax cross-entropy:

        x, W -> z = W x;  z, b -> s = z + b;  s -> p = SoftMax(s);  p, y -> l = -y^T log(p)
        l_1, ..., l_n -> L, their mean;  W -> r = sum of W_ij^2;  L, lambda, r -> J = L + lambda r

    Other losses have other steps between s and L. A single example has no mean L, and without l2
    there is neither r nor J. With several examples their nodes are numbered: x1, y1, z1, s1, p1,
    l1. Only W and b are shared.

    Parameters
    ----------
    W
        C x d, or 1 x d for two classes with a single score s, which stands for the two scores
        t = (-s/2, +s/2).
    b
        (C,), or (1,).
    X
        n x d, one example per row.
    Y
        n x C, one target y^T per row. One-hot; with cross-entropy any probabilities.
    loss
        The steps from the scores to the loss.
    l2
        lambda. 0 leaves out the penalty.
    example_weights
        v, (n,). Then L = 1/n sum_i v_i l_i, also for a single example.

    Raises
    ------
    GraphError
        If the loss has no steps or one that `Graph.apply` rejects, W is not a matrix, or X and Y
        do not have n rows each. Other shapes are checked by the forward pass.
    """
    if not loss:
        raise GraphError("a loss needs at least one step, got none")
    W, X, Y = np.asarray(W), np.asarray(X), np.asarray(Y)
    if W.ndim != 2:
        raise GraphError(f"expected W (C, d), got {W.shape}")
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or len(X) == 0:
        raise GraphError(
            f"expected X (n, d) and Y (n, C), one example per row, got {X.shape} and {Y.shape}"
        )

    graph = Graph()
    graph.parameter("W", W)
    graph.parameter("b", b)
    suffixes = [""] if len(X) == 1 else [str(i) for i in range(1, len(X) + 1)]
    losses = [
        _example_loss(graph, x, y, loss, suffix)
        for x, y, suffix in zip(X, Y, suffixes, strict=True)
    ]
    cost = losses[0]
    if example_weights is not None:
        cost = graph.apply("weighted_mean", graph.input("v", example_weights), *losses, name="L")
    elif len(losses) > 1:
        cost = graph.apply("mean", *losses, name="L")
    if l2 != 0:
        r = graph.apply("sum_of_squares", graph["W"], name="r")
        cost = graph.apply("regularized", cost, graph.input("lambda", l2), r, name="J")
    graph.result = cost
    return graph


def _example_loss(graph: Graph, x: Array, y: Array, loss: LossSteps, suffix: str) -> Node:
    """Add the nodes of one example, from x and y to its loss, and return the loss."""
    W, b = graph["W"], graph["b"]
    x_node = graph.input("x" + suffix, x)
    y_node = graph.input("y" + suffix, y)
    z = graph.apply("matrix_vector", W, x_node, name="z" + suffix)
    node = graph.apply("add", z, b, name="s" + suffix)
    if len(W.value) == 1:
        node = graph.apply("two_scores", node, name="t" + suffix)
    *earlier, (name, operation) = loss
    for earlier_name, earlier_operation in earlier:
        node = graph.apply(earlier_operation, node, name=earlier_name + suffix)
    return graph.apply(operation, node, y_node, name=name + suffix)
