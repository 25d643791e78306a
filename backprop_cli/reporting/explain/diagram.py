"""The drawing of the graph: inline SVG, on the grid of `layout`."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

from backprop_cli.reporting.explain.describe import EdgeJacobian, Explanation, ForwardStep
from backprop_cli.reporting.explain.layout import Place, places
from backprop_cli.reporting.explain.notation import plain, shape_text

_COLUMN, _ROW = 168, 124  # from one node's centre to the next
_HALF_WIDTH, _HALF_HEIGHT = 44, 30  # of a node
_MARGIN = 8
_ROUND = {"input": 3, "parameter": 3, "computed": 28}


def to_svg(explanation: Explanation, vectors: Collection[str]) -> str:
    """Return the graph as an SVG element, whose parts the page's script can mark.

    A node is ``<g class="node" data-node="z">``, an edge ``<g class="edge" data-edge="z-W">``.
    """
    grid = places(explanation.forward)
    width = _x(max(cell.column for cell in grid.values())) + _HALF_WIDTH + _MARGIN
    height = _y(max(cell.row for cell in grid.values())) + _HALF_HEIGHT + _MARGIN
    edges = [edge for step in explanation.backward for edge in step.jacobians]
    description = "; ".join(
        plain(step.formula) for step in explanation.forward if step.kind == "computed"
    )
    return "\n".join(
        [
            f'<svg viewBox="0 0 {width} {height}" role="img" aria-labelledby="graph-title '
            'graph-description" style="max-width: '
            f'{1.15 * width:.0f}px">',
            '<title id="graph-title">The computational graph</title>',
            f'<desc id="graph-description">{escape(description)}</desc>',
            _marker("tip"),
            _marker("tip-forward"),
            _marker("tip-backward"),
            *(_edge(edge, grid, vectors) for edge in edges),
            *(_node(step, grid[step.name], vectors) for step in explanation.forward),
            "</svg>",
        ]
    )


def _x(column: int) -> int:
    return _MARGIN + _HALF_WIDTH + column * _COLUMN


def _y(row: int) -> int:
    return _MARGIN + _HALF_HEIGHT + row * _ROW


def _marker(name: str) -> str:
    return (
        f'<marker id="{name}" class="{name}" viewBox="0 0 10 10" refX="9" refY="5" '
        'markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
        '<path d="M0 0 10 5 0 10z"/></marker>'
    )


def _node(step: ForwardStep, cell: Place, vectors: Collection[str]) -> str:
    x, y = _x(cell.column), _y(cell.row)
    return (
        f'<g class="node {step.kind}" data-node="{escape(step.name)}">'
        f'<rect x="{x - _HALF_WIDTH}" y="{y - _HALF_HEIGHT}" width="{2 * _HALF_WIDTH}" '
        f'height="{2 * _HALF_HEIGHT}" rx="{_ROUND[step.kind]}"/>'
        f'<text class="name" x="{x}" y="{y + 3}">{_letter(step.name, vectors)}</text>'
        f'<text class="shape" x="{x}" y="{y + 21}">{shape_text(step.value.shape)}</text></g>'
    )


def _edge(edge: EdgeJacobian, grid: dict[str, Place], vectors: Collection[str]) -> str:
    """Return a straight line from parent to child, with the Jacobian's name and shape."""
    start, end = grid[edge.parent], grid[edge.child]
    x1, y1, x2, y2 = _x(start.column), _y(start.row), _x(end.column), _y(end.row)
    x: float
    name_y: float
    shape_y: float
    if start.row == end.row:
        x1, x2 = x1 + _HALF_WIDTH + 3, x2 - _HALF_WIDTH - 3
        # Above and below the line, in its middle.
        x, name_y, shape_y, anchor = (x1 + x2) / 2, y1 - 9, y1 + 18, "middle"
    else:
        down = 1 if y1 < y2 else -1
        y1, y2 = y1 + down * (_HALF_HEIGHT + 3), y2 - down * (_HALF_HEIGHT + 3)
        # Beside the line, near the child: there no other node is in the way.
        middle = y2 - down * (_ROW / 2 - _HALF_HEIGHT)
        x, name_y, shape_y, anchor = x1 + 10, middle - 3, middle + 15, "start"
    symbol = f"∂{_letter(edge.child, vectors)}/∂{_letter(edge.parent, vectors)}"
    return (
        f'<g class="edge" data-edge="{escape(edge.child)}-{escape(edge.parent)}">'
        f'<path d="M{x1} {y1}L{x2} {y2}"/>'
        f'<g class="jacobian" text-anchor="{anchor}"><text class="symbol" x="{x:g}" '
        f'y="{name_y:g}">{symbol}</text><text class="shape" x="{x:g}" y="{shape_y:g}">'
        f"{shape_text(edge.shape)}</text></g></g>"
    )


def _letter(name: str, vectors: Collection[str]) -> str:
    style = "vector" if name in vectors else "number"
    return f'<tspan class="{style}">{escape(plain(name))}</tspan>'
