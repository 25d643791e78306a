"""The graph as inline SVG, on the grid of `layout`."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

from backprop_cli.reporting.explain.explanation import EdgeJacobian, Explanation, ForwardStep
from backprop_cli.reporting.explain.layout import layers, places
from backprop_cli.reporting.explain.notation import plain, shape_text

_ROW = 124  # distance of two rows
_HALF_HEIGHT = 30  # of a node
_MARGIN = 8
# The width of one character, by the font sizes of the style sheet.
_SHAPE_CHARACTER = 7.6
_NAME_CHARACTER = 14
_SYMBOL_CHARACTER = 9
_ROUND = {"input": 3, "parameter": 3, "computed": 28}


def to_svg(explanation: Explanation, vectors: Collection[str]) -> str:
    """Return the graph as an SVG element, whose parts the script of the page can mark.

    A node is ``<g class="node" data-node="z">``, an edge ``<g class="edge" data-edge="z-W">``.
    """
    return _Diagram(explanation, vectors).svg()


class _Diagram:
    """Nodes and columns as wide as the longest texts that must fit in and between them."""

    def __init__(self, explanation: Explanation, vectors: Collection[str]) -> None:
        self._steps = explanation.forward
        self._edges = [edge for step in explanation.backward for edge in step.jacobians]
        self._straight = explanation.classified is not None  # its layout has no edge in the way
        self._places = (places if self._straight else layers)(explanation.forward)
        self._vectors = vectors
        shape = max(len(shape_text(step.value.shape)) for step in self._steps)
        name = max(len(plain(step.name)) for step in self._steps)
        self._half_width = max(
            44, round(shape * _SHAPE_CHARACTER / 2 + 6), round(name * _NAME_CHARACTER / 2 + 6)
        )
        between = [edge for edge in self._edges if self._neighbours(edge)]
        shape = max((len(shape_text(edge.shape)) for edge in between), default=1)
        symbol = max((len(plain(edge.symbol)) for edge in between), default=1)
        self._column = 2 * self._half_width + max(
            56, round(shape * _SHAPE_CHARACTER + 12), round(symbol * _SYMBOL_CHARACTER + 11)
        )

    def svg(self) -> str:
        cells = self._places.values()
        width = self._x(max(cell.column for cell in cells)) + self._half_width + _MARGIN
        height = _y(max(cell.row for cell in cells)) + _HALF_HEIGHT + _MARGIN
        description = "; ".join(
            plain(step.formula) for step in self._steps if step.kind == "computed"
        )
        return "\n".join(
            [
                f'<svg viewBox="0 0 {width} {height}" style="max-width: {width}px" role="img" '
                'aria-labelledby="graph-title graph-description">',
                '<title id="graph-title">The computational graph</title>',
                f'<desc id="graph-description">{escape(description)}</desc>',
                *(_marker(name) for name in ("tip", "tip-forward", "tip-backward")),
                *(self._edge(edge) for edge in self._edges),
                *(self._node(step) for step in self._steps),
                "</svg>",
            ]
        )

    def _neighbours(self, edge: EdgeJacobian) -> bool:
        start, end = self._places[edge.parent], self._places[edge.child]
        return start.column == end.column - 1 and start.row == end.row

    def _x(self, column: int) -> int:
        return _MARGIN + self._half_width + column * self._column

    def _node(self, step: ForwardStep) -> str:
        cell = self._places[step.name]
        x, y = self._x(cell.column), _y(cell.row)
        return (
            f'<g class="node {step.kind}" data-node="{escape(step.name)}">'
            f'<rect x="{x - self._half_width}" y="{y - _HALF_HEIGHT}" '
            f'width="{2 * self._half_width}" height="{2 * _HALF_HEIGHT}" '
            f'rx="{_ROUND[step.kind]}"/>'
            f'<text class="name" x="{x}" y="{y + 3}">{self._letter(step.name)}</text>'
            f'<text class="shape" x="{x}" y="{y + 21}">{shape_text(step.value.shape)}</text></g>'
        )

    def _edge(self, edge: EdgeJacobian) -> str:
        """Return a line from parent to child, with symbol and shape of the Jacobian.

        It is straight, but where it would run through nodes in between.
        """
        start, end = self._places[edge.parent], self._places[edge.child]
        x1, y1, x2, y2 = self._x(start.column), _y(start.row), self._x(end.column), _y(end.row)
        path = ""
        neighbours = end.column == start.column + 1
        if start.row == end.row and (self._straight or neighbours):
            x1, x2 = x1 + self._half_width + 3, x2 - self._half_width - 3
            # Symbol above and shape below the middle of the line.
            x, name_y, shape_y, anchor = (x1 + x2) // 2, y1 - 9, y1 + 18, "middle"
        elif not self._straight and not neighbours:
            # Out of the row at the top or the bottom, and past the nodes in between.
            side = 1 if start.row < end.row else -1
            y1, y2 = y1 + side * (_HALF_HEIGHT + 3), y2 - (1 if y1 < y2 else -1) * _HALF_HEIGHT
            bend = (y1 + side * _ROW // 2) if start.row == end.row else (y1 + y2) // 2
            if start.row == end.row:
                y2 = y1
            path = f"M{x1} {y1}C{x1} {bend} {x2} {bend} {x2} {y2}"
            x, name_y, shape_y, anchor = (x1 + x2) // 2, bend - 3, bend + 15, "middle"
        elif not self._straight:
            x1, x2 = x1 + self._half_width + 3, x2 - self._half_width - 3
            x, name_y, anchor = (x1 + x2) // 2 - 12, (y1 + y2) // 2 - 2, "end"
            shape_y = name_y + 17
        else:
            down = 1 if y1 < y2 else -1
            y1, y2 = y1 + down * (_HALF_HEIGHT + 3), y2 - down * (_HALF_HEIGHT + 3)
            # Beside the line and near the child, where no other node is in the way.
            middle = y2 - down * (_ROW // 2 - _HALF_HEIGHT)
            x, name_y, shape_y, anchor = x1 + 10, middle - 3, middle + 15, "start"
        symbol = f"∂{self._letter(edge.child)}/∂{self._letter(edge.parent)}"
        return (
            f'<g class="edge" data-edge="{escape(edge.child)}-{escape(edge.parent)}">'
            f'<path d="{path or f"M{x1} {y1}L{x2} {y2}"}"/>'
            f'<g class="jacobian" text-anchor="{anchor}">'
            f'<text class="symbol" x="{x}" y="{name_y}">{symbol}</text>'
            f'<text class="shape" x="{x}" y="{shape_y}">{shape_text(edge.shape)}</text></g></g>'
        )

    def _letter(self, name: str) -> str:
        style = "vector" if name in self._vectors else "number"
        return f'<tspan class="{style}">{escape(plain(name))}</tspan>'


def _y(row: int) -> int:
    return _MARGIN + _HALF_HEIGHT + row * _ROW


def _marker(name: str) -> str:
    return (
        f'<marker id="{name}" class="{name}" viewBox="0 0 10 10" refX="9" refY="5" '
        'markerUnits="userSpaceOnUse" markerWidth="14" markerHeight="14" '
        'orient="auto-start-reverse"><path d="M0 0 10 5 0 10z"/></marker>'
    )
