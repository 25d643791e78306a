"""A function as a user writes it, such as ``softmax(W2 relu(W1 x + b1) + b2)``, as a graph.

Python's own `ast` parses the text; nothing of it is evaluated. Each operator and each call becomes
a node, with an operation of the table. Numbers become part of an operation (``3 x``, ``x + 1``), so
the composition of functions of one variable is a path graph.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from backprop_cli.errors import GraphError
from backprop_cli.graph.graph import Graph, nearest_name
from backprop_cli.graph.jacobians import Array, Diagonal
from backprop_cli.graph.nodes import Node
from backprop_cli.graph.operation import Derivative, Operation
from backprop_cli.graph.operations import OPERATIONS
from backprop_cli.graph.written import Written, written

MAX_LENGTH = 2_000
MAX_ENTRIES = 2_000
"""Of one value: a Jacobian may have the square of it."""

FUNCTIONS = frozenset(OPERATIONS) - {"add", "two_scores", "regularized"}
_SHOWN = 60  # characters of an expression, in a message


def is_parameter(name: str) -> bool:
    """Whether a name is that of a parameter: W, b, w, theta, with or without a number."""
    return name.rstrip("0123456789_") in ("W", "b", "w", "theta", "V", "U")


def graph_from_expression(text: str, values: Mapping[str, ArrayLike]) -> Graph:
    """Build the graph of an expression, and evaluate it.

    Parameters
    ----------
    text
        An expression over names, numbers, ``+ - * / ^ @``, parentheses and functions of the table.
        A product may be written without a sign, ``W x``. Before it may stand names for parts of
        it, ``a = W x; tanh(a)``.
    values
        The values of the names.

    Raises
    ------
    GraphError
        It is no expression, a name has no value, or shapes do not fit.
    """
    if len(text) > MAX_LENGTH:
        raise GraphError(f"the expression is longer than {MAX_LENGTH} characters")
    try:
        own = written(text, FUNCTIONS)
        statements = ast.parse(own.python).body
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        column = error.offset if isinstance(error, SyntaxError) else None
        if isinstance(error, tokenize.TokenError):
            column = error.args[1][1]  # of (line, column); from Python 3.12 on it is not 0
        where = f" near column {column}" if column else ""
        raise GraphError(f"'{_short(text)}' is no expression{where}") from error
    except (RecursionError, MemoryError) as error:
        raise GraphError("the expression is nested too deeply") from error
    builder = _Builder(values, own)
    try:
        for statement in statements:
            builder.add(statement)
    except RecursionError as error:
        raise GraphError("the expression is nested too deeply") from error
    return builder.finished()


@dataclass(frozen=True)
class _Part:
    """A part of the expression: what was written, and the name that it was given."""

    text: str
    name: str | None = None


class _Builder:
    """Adds the nodes of statements to a graph."""

    def __init__(self, values: Mapping[str, ArrayLike], own: Written) -> None:
        self._graph = Graph()
        self._values = values
        self._written = own
        self._texts: dict[str, str] = {}  # of nodes that the user gave no name
        self._named: dict[str, Node | float] = {}
        self._used: set[str] = set()
        self._count = 0
        self._last: Node | float | None = None

    def add(self, statement: ast.stmt) -> None:
        """Add an expression, or a part of it with a name."""
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if not isinstance(target, ast.Name):
                raise GraphError("expected a name before '='")
            if target.id in self._values or target.id in self._named:
                raise GraphError(f"'{target.id}' has a value already")
            self._last = self._node(statement.value, target.id)
            self._named[target.id] = self._last
        elif isinstance(statement, ast.Expr):
            self._last = self._node(statement.value)
        else:
            raise GraphError(f"expected an expression, found {type(statement).__name__.lower()}")

    def finished(self) -> Graph:
        """Return the graph; its result is the last statement."""
        if not isinstance(self._last, Node) or self._last.operation is None:
            raise GraphError("expected an expression of at least one operation and one name")
        unused = sorted(set(self._values) - self._used)
        if unused:
            raise GraphError(f"the expression has no '{unused[0]}', which has a value")
        self._graph.result = self._last
        return self._graph

    def _node(self, tree: ast.expr, name: str | None = None) -> Node | float:
        if isinstance(tree, ast.Constant) and type(tree.value) in (int, float):
            return _literal(tree.value)
        part = _Part(_short(self._written.part(tree)), name)
        if isinstance(tree, ast.Name):
            return self._variable("lambda" if tree.id == "λ" else tree.id)
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd):
            value = self._node(tree.operand)
            if isinstance(tree.op, ast.UAdd):
                return value
            return -value if isinstance(value, float) else self._apply(_NEGATIVE, part, value)
        if isinstance(tree, ast.BinOp):
            if self._is_transpose(tree):
                return self._transpose(tree, part)
            return self._binary(tree, part)
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.keywords:
            return self._call(tree.func.id, tree.args, part)
        raise GraphError(
            f"'{ast.unparse(tree)}' is not understood: expected names, numbers, + - * / ^ @ and "
            "functions"
        )

    def _variable(self, name: str) -> Node | float:
        if name in self._named:
            return self._named[name]
        if name in FUNCTIONS and name not in self._values:
            raise GraphError(f"'{name}' is a function: write {name}(...)")
        if name not in self._values:
            near = nearest_name(name, [*self._values, *self._named])
            raise GraphError(
                f"'{name}' has no value{near or f': --at {name}=0.5, --at {name}=[1,2], or '}"
                + ("" if near else f"--at {name}=3x or --at {name}=2x3 for random numbers")
            )
        self._used.add(name)
        add = self._graph.parameter if is_parameter(name) else self._graph.input
        node = self._named[name] = add(name, self._values[name])
        if node.size > MAX_ENTRIES:
            raise GraphError(f"'{name}' has {node.size} entries, expected at most {MAX_ENTRIES}")
        return node

    def _call(self, function: str, arguments: list[ast.expr], part: _Part) -> Node:
        if function not in FUNCTIONS:
            near = nearest_name(function, FUNCTIONS)
            if function in self._values:
                near = f"; write a product as {function} * (...)"
            raise GraphError(f"there is no function '{function}'{near}")
        nodes = [self._node(argument) for argument in arguments]
        numbers = [node for node in nodes if isinstance(node, float)]
        if numbers:
            raise GraphError(_of_constants(part.text, OPERATIONS[function], nodes, numbers[0]))
        return self._apply(function, part, *(n for n in nodes if isinstance(n, Node)))

    def _binary(self, tree: ast.BinOp, part: _Part) -> Node | float:
        left, right = self._node(tree.left), self._node(tree.right)
        kind = type(tree.op)
        if kind not in _SIGNS:
            raise GraphError(f"'{ast.unparse(tree)}' is not understood: expected + - * / ^ @")
        if isinstance(left, float):
            if isinstance(right, float):
                return _number(kind, left, right)
            return self._apply(_with_number_first(kind, left), part, right)
        if isinstance(right, float):
            if right == 0 and kind is ast.Div:
                raise GraphError(f"'{ast.unparse(tree)}' divides by 0")
            operation = OPERATIONS["square"] if (kind, right) == (ast.Pow, 2.0) else None
            return self._apply(operation or _with_number_second(kind, right), part, left)
        if kind is ast.Pow:
            raise GraphError(f"'{ast.unparse(tree)}': expected a number as the exponent")
        if kind in (ast.Mult, ast.MatMult):
            return self._product(left, right, part, elementwise=kind is ast.Mult)
        if kind is ast.Div and right.value.shape == () != left.value.shape:
            reciprocal = self._apply(_with_number_first(ast.Div, 1.0), _Part(part.text), right)
            return self._apply("scale", part, reciprocal, left)
        operation_name = {ast.Add: "add", ast.Sub: "subtract", ast.Div: "divide"}[kind]
        return self._apply(operation_name, part, left, right)

    def _is_transpose(self, tree: ast.BinOp) -> bool:
        """Whether it is W^T, and T is no name of the user's."""
        is_t = isinstance(tree.right, ast.Name) and tree.right.id == "T"
        return isinstance(tree.op, ast.Pow) and is_t and "T" not in {*self._values, *self._named}

    def _transpose(self, tree: ast.BinOp, part: _Part) -> Node:
        node = self._node(tree.left)
        if isinstance(node, float) or node.value.ndim != 2:
            text = ast.unparse(tree.left)
            raise GraphError(
                f"'{text}^T': {text} is no matrix; of two vectors, x^T y is written x @ y"
            )
        return self._apply("transpose", part, node)

    def _product(self, left: Node, right: Node, part: _Part, *, elementwise: bool) -> Node:
        """Add a product, whose kind the shapes say."""
        dimensions = left.value.ndim, right.value.ndim
        if dimensions == (2, 1):
            return self._apply("matrix_vector", part, left, right)
        if dimensions == (2, 2):
            return self._apply("matrix_product", part, left, right)
        if dimensions == (1, 1) and not elementwise:
            return self._apply("dot", part, left, right)
        if dimensions[0] == 0 < dimensions[1]:
            return self._apply("scale", part, left, right)
        if dimensions[1] == 0 < dimensions[0]:
            return self._apply("scale", part, right, left)
        return self._apply("multiply", part, left, right)

    def _apply(self, operation: str | Operation, part: _Part, *parents: Node) -> Node:
        own = OPERATIONS[operation] if isinstance(operation, str) else operation
        texts = [self._texts.get(parent.name, parent.name) for parent in parents]
        own.check_parents(part.text, texts)
        own.check_shapes(part.text, texts, [parent.value for parent in parents])
        name = part.name
        while name is None:
            self._count += 1
            name = f"u{self._count}"
            taken = name in self._values or name in self._named or name in self._graph
            name = None if taken else name
        node = self._graph.apply(own, *parents, name=name)
        if part.name is None:
            self._texts[name] = part.text
        with np.errstate(all="ignore"):
            node.compute()
        return node


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _literal(value: object) -> float:
    number = float(str(value))
    if not np.isfinite(number):
        raise GraphError("a number in the expression cannot be read: it is too large")
    return number


def _of_constants(
    text: str, operation: Operation, arguments: list[Node | float], number: float
) -> str:
    """Say what to do about a function of a number."""
    if len(arguments) > 1 or len(operation.derivatives) > 1 or not operation.fits(()):
        return (
            f"'{text}': {operation.name} takes names and expressions, found the number {number:g}; "
            f"give it a name, as in --at c={number:g}"
        )
    with np.errstate(all="ignore"):
        value = float(operation.value(np.array(number)))
    if not np.isfinite(value):
        return f"'{text}' has no finite value: {operation.name} is not defined at {number:g}"
    return f"'{text}' is a constant: write the number {value:.6g} in its place"


def _number(kind: type[ast.operator], left: float, right: float) -> float:
    try:
        value = float(_SIGNS[kind](left, right))
    except ZeroDivisionError as error:
        raise GraphError("a number in the expression is divided by zero") from error
    except (OverflowError, ValueError, TypeError) as error:
        raise GraphError(f"a number in the expression cannot be computed: {error}") from error
    return value


_SIGNS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.MatMult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}


def _unary(
    name: str,
    formula: str,
    value: Callable[[Array], Array],
    by: str,
    slope: Callable[[Array], Array],
) -> Operation:
    """Return an operation on each entry of its one parent, with a number in it."""
    return Operation(
        name,
        f"{{u}} = {formula}",
        value,
        (Derivative(by, lambda u, x: Diagonal(slope(x) + 0 * x)),),
        "any shape",
        lambda x: True,
        description=f"The function {formula.format('x')}, of each entry.",
    )


_NEGATIVE = _unary("negative", "−{0}", lambda x: -x, "−I", lambda x: np.asarray(-1.0))


def _with_number_first(kind: type[ast.operator], c: float) -> Operation:
    text = f"{c:g}".replace("-", "−")
    if kind is ast.Add:
        return _unary("plus", f"{text} + {{0}}", lambda x: c + x, "I", lambda x: np.asarray(1.0))
    if kind is ast.Sub:
        return _unary("minus", f"{text} − {{0}}", lambda x: c - x, "−I", lambda x: np.asarray(-1.0))
    if kind is ast.Div:
        by = f"diag(−{text}/{{0}}²)"
        return _unary("reciprocal", f"{text}/{{0}}", lambda x: c / x, by, lambda x: -c / x**2)
    if kind is ast.Pow:
        if c <= 0:
            raise GraphError(
                f"{c:g} cannot be raised to a power that varies: expected a positive number"
            )
        slope = float(np.log(c))
        by = f"diag(log({text}) {{u}})"
        return _unary("exponential", f"{text}^{{0}}", lambda x: c**x, by, lambda x: slope * c**x)
    return _unary("times", f"{text} {{0}}", lambda x: c * x, f"{text} I", lambda x: np.asarray(c))


def _with_number_second(kind: type[ast.operator], c: float) -> Operation:
    text = f"{c:g}".replace("-", "−")
    if kind is ast.Sub:
        return _unary("plus", f"{{0}} − {text}", lambda x: x - c, "I", lambda x: np.asarray(1.0))
    if kind is ast.Add:
        return _unary("plus", f"{{0}} + {text}", lambda x: x + c, "I", lambda x: np.asarray(1.0))
    if kind is ast.Div:
        return _unary(
            "over", f"{{0}}/{text}", lambda x: x / c, f"I/{text}", lambda x: np.asarray(1 / c)
        )
    if kind is ast.Pow:
        by = f"diag({text} {{0}}^{c - 1:g})".replace("-", "−")
        return _unary("power", f"{{0}}^{text}", lambda x: x**c, by, lambda x: c * x ** (c - 1))
    return _with_number_first(kind, c)
