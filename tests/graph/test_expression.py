"""Expressions, against an independent automatic differentiation and by hand."""

from __future__ import annotations

import re

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from backprop_cli.errors import GraphError
from backprop_cli.graph import backward_pass, forward_mode, graph_from_expression

NAMESPACE = {
    "sin": anp.sin, "cos": anp.cos, "tanh": anp.tanh, "exp": anp.exp, "log": anp.log,
    "square": lambda x: x**2, "sigmoid": lambda x: 1 / (1 + anp.exp(-x)),
    "softmax": lambda s: anp.exp(s) / anp.sum(anp.exp(s)), "sum": anp.sum,
    "relu": lambda x: anp.maximum(0, x), "dot": anp.dot, "sum_of_squares": lambda x: anp.sum(x**2),
}  # fmt: skip
FUNCTIONS = {"v": ["sin", "cos", "tanh", "square", "sigmoid", "softmax", "relu"], "s": ["sum"]}
FUNCTIONS_OF_A_NUMBER = ["sin", "cos", "tanh", "square", "sigmoid"]


@st.composite
def expressions(draw, kind, depth):
    """Draw the text of a vector "v" or a scalar "s", and the same for Python."""
    number = draw(st.sampled_from(["2", "0.5", "1.5", "3"]))
    if depth == 0:
        name = draw(st.sampled_from(["x", "y"] if kind == "v" else ["a", "c"]))
        return name, name
    one, py_one = draw(expressions(kind, depth - 1))
    rules = [
        "call",
        "binary",
        "number",
        "power",
        "minus",
        *(["matrix"] if kind == "v" else ["of v"]),
    ]
    rule = draw(st.sampled_from(rules))
    if rule == "call":
        f = draw(st.sampled_from(FUNCTIONS["v"] if kind == "v" else FUNCTIONS_OF_A_NUMBER))
        return f"{f}({one})", f"{f}({py_one})"
    if rule == "binary":
        other, py_other = draw(expressions(kind, depth - 1))
        sign = draw(st.sampled_from(["+", "-", "*"]))
        return f"({one} {sign} {other})", f"({py_one} {sign} {py_other})"
    if rule == "number":
        form = draw(st.sampled_from(["{n} * {x}", "{x} + {n}", "{n} - {x}", "{x} / {n}"]))
        return f"({form.format(n=number, x=one)})", f"({form.format(n=number, x=py_one)})"
    if rule == "power":
        k = draw(st.sampled_from([2, 3]))
        return f"({one})^{k}", f"({py_one})**{k}"
    if rule == "minus":
        return f"(-{one})", f"(-{py_one})"
    vector, py_vector = draw(expressions("v", depth - 1))
    if rule == "matrix":
        return f"W ({vector})", f"anp.dot(W, {py_vector})"
    f = draw(st.sampled_from(["sum", "sum_of_squares"]))
    return f"{f}({vector})", f"{f}({py_vector})"


@given(expressions("s", 4), st.integers(0, 2**32 - 1))
def test_random_expressions_agree_with_autograd(pair, seed):
    text, python = pair
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 4))
    every: dict = {
        "x": rng.normal(size=m), "y": rng.normal(size=m), "W": rng.normal(size=(m, m)),
        "a": rng.normal(), "c": rng.normal(),
    }  # fmt: skip
    values = {k: v for k, v in every.items() if k in {n for n in "xyWac" if n in names(python)}}
    assume(values and python not in values)
    code = compile(python, "reference", "eval")

    def reference(*arrays):
        return eval(code, {**NAMESPACE, "anp": anp}, dict(zip(values, arrays, strict=True)))  # noqa: S307

    graph = graph_from_expression(text, values)
    assume(all(np.abs(node.value).max() < 50 for node in graph.topological_order()))
    kinks = [n.parents[0].value for n in graph.topological_order() if n.formula.count("max(0")]
    assume(all(np.abs(kink).min() > 1e-6 for kink in kinks))
    arrays = list(values.values())
    assert_allclose(graph.result.value, reference(*arrays), rtol=1e-10, atol=1e-10)
    back = backward_pass(graph)
    for i, name in enumerate(values):
        expected = np.reshape(autograd.grad(reference, i)(*arrays), (1, -1))
        close = {"rtol": 1e-10, "atol": 1e-10 * max(1.0, np.abs(expected).max())}
        assert_allclose(back.gradients[graph[name]], expected, **close)
        assert_allclose(forward_mode(graph, graph[name]).derivative, expected, **close)


def names(python):
    import ast

    return {node.id for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Name)}


def test_the_lectures_example():
    graph = graph_from_expression("sin(x^2)", {"x": 0.7})
    assert [node.formula for node in graph.topological_order()] == ["x", "u1 = x²", "u2 = sin(u1)"]
    expected = 2 * 0.7 * np.cos(0.49)
    assert_allclose(backward_pass(graph).gradients[graph["x"]], [[expected]], rtol=1e-14)


def test_a_network_of_two_layers():
    rng = np.random.default_rng(0)
    values = {
        "W1": rng.normal(size=(4, 3)), "b1": rng.normal(size=4), "x": rng.normal(size=3),
        "W2": rng.normal(size=(2, 4)), "b2": rng.normal(size=2),
    }  # fmt: skip
    graph = graph_from_expression("softmax(W2 relu(W1 x + b1) + b2)", values)
    order = list(values)

    def network(W1, b1, x, W2, b2):
        s = anp.dot(W2, anp.maximum(0, anp.dot(W1, x) + b1)) + b2
        return anp.exp(s) / anp.sum(anp.exp(s))

    arrays = [values[name] for name in order]
    assert_allclose(graph.result.value, network(*arrays), rtol=1e-13)
    back = backward_pass(graph)
    for i, name in enumerate(order):
        expected = autograd.jacobian(network, i)(*arrays).reshape(2, -1)
        assert_allclose(back.gradients[graph[name]], expected, rtol=1e-10, atol=1e-14)
    kinds = {node.name: node.kind for node in graph.topological_order()}
    assert (kinds["W1"], kinds["b2"], kinds["x"]) == ("parameter", "parameter", "input")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3x + 1", 7.0),
        ("2 sin(x) cos(x)", 2 * np.sin(2) * np.cos(2)),
        ("-x^2", -4.0),
        ("x^2 + 1", 5.0),
        ("1/x", 0.5),
        ("2^x", 4.0),
        ("a = x^2; b0 = a + 1\na b0", 20.0),
        ("lambda x", 0.2),
        ("(x + 1)(x - 1)", 3.0),
        ("x / lambda", 20.0),
    ],
)
def test_how_it_is_read(text, expected):
    values = {"x": 2.0, **({"lambda": 0.1} if "lambda" in text else {})}
    graph = graph_from_expression(text, values)
    assert graph.result.value == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sin(", "no expression"),
        ("", "at least one operation"),
        ("x", "at least one operation"),
        ("y + x", "'y' has no value"),
        ("sine(x)", "did you mean 'sin'"),
        ("x.real + 1", "not understood"),
        ("__import__('os')", "no function '__import__'"),
        ("[x]", "not understood"),
        ("x if x else x", "no expression"),
        ("x ** x", "expected a number as the exponent"),
        ("sin(x, x)", "takes 1 parent, got 2"),
        ("9^9^9^9 x", "cannot be computed"),
        ("1/0 x", "a number in the expression is divided by zero"),
        ("softmax(x)", "shapes of its parents do not fit"),
        ("(" * 900 + "x" + ")" * 900, "no expression near column"),
        ("x" * 3000, "longer than"),
        ("import os", "no expression"),
        ("x = 3; x", "has a value already"),
        ("x < 3", "not understood"),
        ("2 + 3", "at least one operation"),
        ("x % 2", "expected + - * / ^ @"),
        ("x / 0", "divides by 0"),
        ("sin x", "'sin' is a function: write sin(...)"),
        ("1j x", "not understood"),
        ("True x", "not understood"),
        ("9" * 400 + " x", "cannot be read"),
        ("f'{x}'", "not understood"),
        ("sin(1) x", "'sin(1)' is a constant: write the number 0.841471 in its place"),
        ("log(-1) + x", "'log(-1)' has no finite value: log is not defined at -1"),
        ("dot(x, 2)", "'dot(x, 2)': dot takes names and expressions, found the number 2"),
        ("dot(2)", "found the number 2; give it a name, as in --at c=2"),
    ],
)
def test_what_is_no_expression_gives_one_line(text, words):
    with pytest.raises(GraphError) as error:
        graph_from_expression(text, {"x": 2.0})
    assert words in str(error.value), str(error.value)


def test_a_transpose():
    rng = np.random.default_rng(3)
    values = {"W": rng.normal(size=(2, 3)), "x": rng.normal(size=2), "y": rng.normal(size=3)}
    for text in ("y @ tanh(W^T x)", "dot(y, tanh(transpose(W) x))"):
        back = backward_pass(graph_from_expression(text, values))
        gradients = {node.name: gradient for node, gradient in back.gradients.items()}
        for i, name in enumerate(("W", "x", "y")):
            expected = autograd.grad(lambda W, x, y: anp.dot(y, anp.tanh(anp.dot(W.T, x))), i)(
                *values.values()
            )
            assert_allclose(gradients[name], np.reshape(expected, (1, -1)), rtol=1e-10)
    with pytest.raises(GraphError, match=r"x\^T': x is no matrix; .* x\^T y is written x @ y"):
        graph_from_expression("x^T x", {"x": [1.0, 2.0]})
    assert graph_from_expression("x * 2^T", {"x": 1.0, "T": 3.0}).result.value == 8.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2 tanh(W·x − 3) b", "'2 tanh(W·x − 3) b': .*: '2 tanh(W·x − 3)' (2,), 'b' (3,)"),
        ("relu((W^T)  x) + 1", "'(W^T)  x': .*: 'W^T' (3, 2), 'x' (3,)"),
        ("s = W x\nsoftmax(s +\n  b)", "'s + b': .*: 's' (2,), 'b' (3,)"),
    ],
)
def test_shapes_that_do_not_fit_are_told_of_what_was_written(text, words):
    values = {"W": np.ones((2, 3)), "x": np.ones(3), "b": np.ones(3)}
    part, found = words.split(".*")
    with pytest.raises(GraphError, match=f"{re.escape(part)}.*{re.escape(found)}"):
        graph_from_expression(text, values)
