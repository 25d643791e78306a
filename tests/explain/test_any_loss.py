"""`explain` takes any loss that is given as steps, whether or not a table knows it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from backprop_cli.graph import Derivative, Operation, classifier_graph
from backprop_cli.reporting.explain import to_dot, to_html, to_mapping, to_text
from backprop_cli.reporting.explain.describe import describe_graph
from backprop_cli.reporting.explain.explanation import Example
from tests.explain.test_outputs import Reader
from tests.graph.squared_hinge import SQUARED_HINGE

C, IMAGE = 3, (1, 2, 4)
D = math.prod(IMAGE)

# A matrix, a vector of another size than C, and an operation without a description.
DIFFERENCES = Operation(
    "differences",
    "{u} = {0} 1ᵀ − 1 {0}ᵀ",
    lambda s: s[:, None] - s,
    (
        Derivative(
            "I_C ⊗ 1 − 1 ⊗ I_C",
            lambda u, s: np.kron(np.eye(C), np.ones((C, 1))) - np.kron(np.ones((C, 1)), np.eye(C)),
        ),
    ),
    "(C,)",
    lambda s: len(s) == 1,
)
FLAT = Operation(
    "flat",
    "{u} = vec({0})",
    np.ravel,
    (Derivative("I", lambda u, M: np.eye(M.size)),),
    "(C, C)",
    lambda M: len(M) == 2,
)
ONE_AGAINST_ALL = Operation(
    "one_against_all",
    "{u} = Σⱼ {0}ⱼ over the entries of the true class",
    lambda d, y: np.asarray(np.tile(y, C) @ d),
    (
        Derivative("(1 ⊗ {1})ᵀ", lambda loss, d, y: np.tile(y, C)[None]),
        Derivative("a sum of {0}", lambda loss, d, y: d.reshape(C, C).sum(axis=0)[None]),
    ),
    "(C C,) and (C,)",
    lambda d, y: d == (C * C,) and y == (C,),
)

LOSSES = {
    "squared hinge": (("l", SQUARED_HINGE),),
    "softmax, other names": (("probabilities", "softmax"), ("class_loss", "cross_entropy")),
    "three steps": (("a", "tanh"), ("q", "square"), ("l", "dot")),
    "a matrix": (("D", DIFFERENCES), ("d", FLAT), ("l", ONE_AGAINST_ALL)),
}


def explained(loss, *, l2=0.1, weights=None, outputs=C, scale=1.0, classes=C):
    rng = np.random.default_rng(0)
    W, b = scale * rng.normal(size=(outputs, D)), np.zeros(outputs)
    x, y = rng.normal(size=(1, D)), np.eye(classes)[[1]]
    graph = classifier_graph(W, b, x, y, loss=loss, l2=l2, example_weights=weights)
    names = tuple(f"class {k}" for k in range(classes))
    example = Example(0, 5, 1, names, x[0], IMAGE)
    explanation = describe_graph(
        graph, example, loss="a loss", l2=l2, weights="some weights", loss_of_equal_scores=1.75
    )
    return explanation, W @ x[0]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [2.0]])
def test_every_form(name, l2, weights):
    explanation, scores = explained(LOSSES[name], l2=l2, weights=weights)
    assert_allclose(explanation.classified.outcome.scores, scores)
    assert "equal scores: 1.75" in explanation.meaning

    text = to_text(explanation)
    assert max(map(len, text.splitlines())) <= 100
    assert json.loads(json.dumps(to_mapping(explanation)))["loss"] == "a loss"
    n_edges = sum(len(step.parents) for step in explanation.forward)
    assert to_dot(explanation).count("->") == n_edges

    page = to_html(explanation)
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert page.count('<g class="node') == len(explanation.forward)
    assert page.count('<g class="edge"') == n_edges
    steps = len(explanation.forward) + len(explanation.backward)
    assert page.count('<section class="step') == steps


def test_a_loss_from_outside_the_table_by_hand():
    explanation, s = explained(LOSSES["squared hinge"], l2=0.0)
    hinges = np.maximum(0, np.delete(s - s[1] + 1, 1))
    assert explanation.classified.outcome.loss == pytest.approx((hinges**2).sum(), rel=1e-13)
    assert explanation.classified.outcome.probabilities is None
    assert explanation.forward[-1].words == SQUARED_HINGE.description
    gradient = {step.name: step.gradient for step in explanation.backward}["s"]
    expected = np.insert(2 * hinges, 1, -2 * hinges.sum())
    assert_allclose(gradient, [expected], rtol=1e-13)


def test_probabilities_and_the_short_form_are_found_under_any_name():
    explanation, s = explained(LOSSES["softmax, other names"], weights=[2.0])
    expected = np.exp(s) / np.exp(s).sum()
    assert_allclose(explanation.classified.outcome.probabilities, expected, rtol=1e-13)
    simplified = {step.name: step.simplified for step in explanation.backward}
    assert simplified["s"] == "−v_1 (y − probabilities)ᵀ"
    assert simplified["W"] == "gᵀ xᵀ + 2 lambda W, g = ∂J/∂z"
    assert "∂<b>probabilities</b>" in to_html(explanation)


def test_without_a_penalty_a_step_may_have_its_name():
    steps = (("a", "tanh"), ("r", "square"), ("l", "dot"))
    simplified = {s.name: s.simplified for s in explained(steps, l2=0.0)[0].backward}
    assert simplified["W"] == "gᵀ xᵀ, g = ∂l/∂z"
    assert simplified["s"] == ""


def test_a_single_score():
    explanation, s = explained(LOSSES["squared hinge"], outputs=1, classes=2)
    assert_allclose(explanation.classified.outcome.scores, [-s[0] / 2, s[0] / 2])


def test_an_operation_without_a_description_has_a_default():
    words = {step.name: step.words for step in explained(LOSSES["a matrix"])[0].forward}
    assert words["D"] == "Computed from its parents."


def test_an_infinite_loss_is_said():
    explanation, _ = explained(LOSSES["softmax, other names"], scale=-1e4)
    assert explanation.classified.outcome.loss == math.inf
    assert "not finite" in explanation.meaning
    assert "underflows" in explanation.meaning
    assert to_mapping(explanation)["result"]["loss"] is None
    with np.errstate(over="ignore"):
        explanation, _ = explained(LOSSES["squared hinge"], scale=-1e200)
    assert "not finite" in explanation.meaning
    assert "underflows" not in explanation.meaning
