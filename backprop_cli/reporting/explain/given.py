"""What a user gives to be explained: values of names, and graphs in JSON files."""

from __future__ import annotations

import ast
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from backprop_cli.errors import DataError, GraphError, first_line
from backprop_cli.graph import Graph, graph_from_description
from backprop_cli.graph.expression import MAX_ENTRIES

_MAX_BYTES = 1_000_000
_KEYS = ("inputs", "parameters", "nodes", "result")
_NAME = re.compile(r"[^\W\d]\w*")
_SHAPE = re.compile(r"(\d{1,6})x(\d{1,6})?")
_WITH_COMMA = re.compile(r"-?\d+,\d+")


def values_of(texts: Sequence[str], seed: int) -> tuple[dict[str, Any], str]:
    """Return the values that ``NAME=VALUE`` texts give, and in words where they come from.

    A value is a number, a list, or a shape, ``3x`` or ``2x3``, of numbers drawn from N(0, 1).

    Raises
    ------
    DataError
        A text is not of that form.
    """
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {}
    drawn: list[str] = []
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not sign or not _NAME.fullmatch(name):
            raise DataError(f"--at {text}: expected NAME=VALUE, as in x=0.7, x=[1,2] or W=2x3")
        name = "lambda" if name == "λ" else name  # as in expressions
        if name in values:
            raise DataError(f"--at {text}: '{name}' has a value already")
        shape = _shape(value)
        if shape is not None:
            if np.prod(shape) > MAX_ENTRIES or not all(shape):
                raise DataError(f"--at {text}: expected 1 to {MAX_ENTRIES} numbers")
            values[name] = rng.standard_normal(shape)
            drawn.append(name)
        else:
            values[name] = _array(text, value)
    if not drawn:
        return values, "values as given"
    return values, f"{', '.join(drawn)} random (seed {seed})"


def _shape(value: str) -> tuple[int, ...] | None:
    match = _SHAPE.fullmatch(value)
    return None if match is None else tuple(int(n) for n in match.groups() if n is not None)


def _array(text: str, value: str) -> Any:
    try:
        array = np.array(ast.literal_eval(value), dtype=np.float64)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise DataError(
            f"--at {text}: expected a number, a list as [1,2] or [[1,2],[3,4]], or a shape, 3x "
            "or 2x3"
        ) from error
    if _WITH_COMMA.fullmatch(value):
        raise DataError(f"--at {text}: write {value.replace(',', '.')}, or a list, [{value}]")
    if array.size == 0 or array.ndim > 2 or not np.isfinite(array).all():
        raise DataError(f"--at {text}: expected finite numbers: one, a vector or a matrix")
    return array


def graph_of_file(file: str) -> Graph:
    """Return the graph of a JSON file.

    It has ``inputs`` and ``parameters``, each an object of names and numbers or lists, ``nodes``, a
    list of ``[name, operation, [names of its parents]]``, and perhaps ``result``.

    Raises
    ------
    DataError, GraphError
        The file cannot be read, or is no graph.
    """
    try:
        with pathlib.Path(file).open("rb") as stream:
            content = json.loads(stream.read(_MAX_BYTES + 1), parse_constant=_no_number)
    except OSError as error:
        raise DataError(f"{file}: cannot read it: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not JSON: {first_line(error)}") from error
    if not isinstance(content, dict) or set(content) - set(_KEYS) or "nodes" not in content:
        raise DataError(f"{file}: expected an object with the keys {', '.join(_KEYS)}")
    starts = [content.get("inputs", {}), content.get("parameters", {})]
    nodes, result = content["nodes"], content.get("result")
    if not all(isinstance(start, dict) for start in starts):
        raise DataError(f"{file}: expected inputs and parameters as objects, name: numbers")
    if not isinstance(nodes, list) or not all(_is_row(row) for row in nodes) or not nodes:
        raise DataError(f'{file}: expected nodes as a list of ["z", "matrix_vector", ["W", "x"]]')
    if result is not None and not isinstance(result, str):
        raise DataError(f"{file}: expected the name of a node as the result")
    try:
        graph = graph_from_description(nodes, inputs=starts[0], parameters=starts[1], result=result)
        for node in graph.topological_order():
            node.compute()
            if node.operation is None and not np.isfinite(node.value).all():
                raise GraphError(f"node '{node.name}': expected finite numbers")
            if node.size > MAX_ENTRIES or node.size == 0:
                raise GraphError(f"node '{node.name}': expected 1 to {MAX_ENTRIES} entries")
        if graph.result.operation is None:
            raise GraphError("expected a result that is computed")
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error
    return graph


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 3
        and all(isinstance(text, str) for text in (row[0], row[1]))
        and isinstance(row[2], list)
        and all(isinstance(parent, str) for parent in row[2])
    )
