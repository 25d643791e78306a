"""The lecture's classifiers as computational graphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from backprop_cli.errors import GraphError
from backprop_cli.graph.graph import Graph, nearest_name
from backprop_cli.graph.jacobians import Array
from backprop_cli.graph.nodes import Node

LOSSES = ("softmax_cross_entropy", "multiclass_svm")


def classifier_graph(
    W: ArrayLike,
    b: ArrayLike,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    loss: str,
    l2: float,
    example_weights: ArrayLike | None = None,
) -> Graph:
    """Build the graph of a linear classifier's cost on n examples; its result is the cost.

        x, W -> z = W x;  z, b -> s = z + b;  s -> p = SoftMax(s);  p, y -> l = -y^T log(p)
        l_1, ..., l_n -> L, their mean;  W -> r = sum of W_ij^2;  L, lambda, r -> J = L + lambda r

    For the SVM loss s and y lead to l directly. For a single example there is no mean, and
    without l2 neither r nor J. The nodes of several examples are numbered: x1, y1, z1, s1, p1, l1.
    Only W and b are shared.

    Parameters
    ----------
    W
        C x d; or 1 x d for two classes with one score s, which stands for the two scores
        t = (-s/2, +s/2).
    b
        (C,), or (1,).
    X
        n x d, one example a row.
    Y
        n x C, the targets y^T a row: one-hot, for the cross-entropy any probabilities.
    loss
        "softmax_cross_entropy" or "multiclass_svm".
    l2
        lambda; 0 leaves the penalty out.
    example_weights
        v, (n,): then L = 1/n sum_i v_i l_i, for a single example too.

    Raises
    ------
    GraphError
        If the loss is unknown, W is not a matrix, or X and Y are not n rows each.
        Other shapes are checked by the forward pass.
    """
    if loss not in LOSSES:
        raise GraphError(f"unknown loss '{loss}'" + nearest_name(loss, LOSSES))
    W, X, Y = np.asarray(W), np.asarray(X), np.asarray(Y)
    if W.ndim != 2:
        raise GraphError(f"expected W (C, d), got {W.shape}")
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or len(X) == 0:
        raise GraphError(
            f"expected X (n, d) and Y (n, C), an example a row, got {X.shape} and {Y.shape}"
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


def _example_loss(graph: Graph, x: Array, y: Array, loss: str, suffix: str) -> Node:
    """Add the nodes of one example, from x and y to its loss l, and return l."""
    W, b = graph["W"], graph["b"]
    x_node = graph.input("x" + suffix, x)
    y_node = graph.input("y" + suffix, y)
    z = graph.apply("matrix_vector", W, x_node, name="z" + suffix)
    scores = graph.apply("add", z, b, name="s" + suffix)
    if len(W.value) == 1:
        scores = graph.apply("two_scores", scores, name="t" + suffix)
    if loss == "multiclass_svm":
        return graph.apply("multiclass_svm", scores, y_node, name="l" + suffix)
    p = graph.apply("softmax", scores, name="p" + suffix)
    return graph.apply("cross_entropy", p, y_node, name="l" + suffix)
