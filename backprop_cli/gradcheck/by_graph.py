"""The computational graph's backward pass and forward mode: no line shared with the engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backprop_cli.gradcheck.problem import Problem
from backprop_cli.graph import Graph, backward_pass, forward_mode, forward_pass
from backprop_cli.losses import Vector

_MOST_TANGENTS = 10_000_000  # numbers that forward mode carries along at once


def evaluated_graph(problem: Problem) -> Graph:
    """Return the graph of a problem's cost, after its forward pass."""
    graph = problem.graph()
    with np.errstate(invalid="ignore"):
        forward_pass(graph)
    return graph


def graph_backward(
    problem: Problem, parameter: str, coordinates: NDArray[np.intp]
) -> tuple[Vector, Vector]:
    """Return dJ/dtheta_k by the backward pass."""
    graph = evaluated_graph(problem)
    with np.errstate(invalid="ignore"):
        gradient = backward_pass(graph).gradients[graph[parameter]]
    return np.asarray(gradient[0, coordinates]), _underflowed(graph, coordinates)


def graph_forward(
    problem: Problem, parameter: str, coordinates: NDArray[np.intp]
) -> tuple[Vector, Vector]:
    """Return dJ/dtheta_k by forward mode, a few columns at a time."""
    graph = evaluated_graph(problem)
    per_column = sum(node.size for node in graph.topological_order() if node.parents)
    at_once = max(1, _MOST_TANGENTS // per_column)
    pieces = []
    with np.errstate(invalid="ignore"):
        for first in range(0, len(coordinates), at_once):
            chosen = coordinates[first : first + at_once].tolist()
            pieces.append(forward_mode(graph, graph[parameter], chosen).derivative[0])
    return np.concatenate(pieces), _underflowed(graph, coordinates)


def _underflowed(graph: Graph, coordinates: NDArray[np.intp]) -> Vector:
    """Call every coordinate unknown where a p_y is 0 in float64, as at scores of +-1000.

    The graph follows the lecture, log(p) after SoftMax, and then says infinity; the engine goes
    through the logarithm of SoftMax and has no such case.
    """
    return np.full(len(coordinates), 0.0 if np.isfinite(graph.result.value).all() else np.inf)
