"""Builds a graph from a plain description, and says what is wrong with a bad one."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping, Sequence

from numpy.typing import ArrayLike

from backprop_cli.errors import GraphError
from backprop_cli.graph.graph import Graph, nearest_name

Row = tuple[str, str, Sequence[str]]


def graph_from_description(
    rows: Sequence[Row],
    *,
    inputs: Mapping[str, ArrayLike],
    parameters: Mapping[str, ArrayLike],
    result: str | None = None,
) -> Graph:
    """Build a graph from rows (name, operation, names of the parents).

    Parameters
    ----------
    rows
        The computed nodes, each after its parents: ``[("z", "matrix_vector", ["W", "x"]), ...]``.
    inputs, parameters
        The values of the start nodes, by name.
    result
        The name of the result node. Default: the only node without children.

    Raises
    ------
    GraphError
        If a node is part of a cycle, is used before it is defined, or is never defined, and
        in all cases in which `Graph` raises one. The message names the nodes.
    """
    graph = Graph()
    for name, value in inputs.items():
        graph.input(name, value)
    for name, value in parameters.items():
        graph.parameter(name, value)
    for name, operation, parents in rows:
        for parent in parents:
            if parent not in graph:
                raise GraphError(_why_missing(name, parent, graph, rows))
        graph.apply(operation, *(graph[parent] for parent in parents), name=name)
    if result is not None:
        graph.result = graph[result]
    return graph


def _why_missing(name: str, parent: str, graph: Graph, rows: Sequence[Row]) -> str:
    """Return why the parent of a row is not among the nodes added so far."""
    defined = [row_name for row_name, _, _ in rows]
    if parent not in defined:
        known = [node.name for node in graph.topological_order()] + defined
        return f"node '{name}' uses '{parent}', which is never defined" + nearest_name(
            parent, known
        )
    try:
        graphlib.TopologicalSorter({row_name: needs for row_name, _, needs in rows}).prepare()
    except graphlib.CycleError as error:
        cycle: list[str] = error.args[1]
        shown = [*cycle[:6], "...", cycle[-1]] if len(cycle) > 8 else cycle
        return f"the graph has a cycle: {' -> '.join(shown)}"
    return f"node '{name}' uses '{parent}' before it is defined"
