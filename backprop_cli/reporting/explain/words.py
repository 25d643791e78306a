"""The sentences: what a node is, how its gradient comes about, what the result means."""

from __future__ import annotations

import math
from collections.abc import Sequence

from backprop_cli.graph import Node
from backprop_cli.reporting.explain.explanation import Example, Explanation, Outcome, Visit
from backprop_cli.reporting.explain.notation import counted, plain

_START_NODES = {
    "W": "The weights, to be learnt: one row per score.",
    "b": "The bias, to be learnt: one number per score.",
    "x": "The features of the example, standardized.",
    "y": "The target: how much the example belongs to each class.",
    "v": "The weight of the example's class.",
    "lambda": "The factor of the penalty.",
}


def at_the_start(seed: int) -> str:
    """Return which weights training starts from."""
    return f"initial weights: W random (seed {seed}), b zero"


def of_modes(explanation: Explanation) -> str:
    """Return how the multiplications of forward mode compare with those of reverse mode."""
    forward, reverse = explanation.forward_mode_products, explanation.reverse_mode_products
    *others, last = map(plain, explanation.forward_mode)
    names = f"{', '.join(others)} and {last}" if others else last
    if forward == reverse:
        return f"Forward mode takes as many for {names}."
    if forward < reverse:
        return f"Forward mode takes fewer for {names}: {forward:,} in place of {reverse:,}."
    return f"Forward mode takes {explanation.ratio:,.1f} times as many for {names}."


def of_calls(visits: Sequence[Visit]) -> str:
    """Return how many calls a recursion makes, and how many of them in vain."""
    outcomes = [visit.outcome for visit in visits]
    early, again = outcomes.count("too early"), outcomes.count("again")
    return f"{counted(len(visits), 'call')}, {early} too early, {again} again"


def of_value(node: Node, *, classifier: bool) -> str:
    """Return a sentence about a node, of the classifier's graph or of another one."""
    if node.operation is None:
        if classifier:
            return _START_NODES[node.name]
        return "A start node: its value is given."
    if classifier:
        return node.operation.description
    return f"Computed from {' and '.join(dict.fromkeys(p.name for p in node.parents))}."


def of_gradient(node: Node, result: Node) -> str:
    """Return how the gradient of a node comes about, and whether training needs it."""
    if node is result and result.size > 1:
        return "The backward pass starts here, with the derivative of the result by itself: I."
    if node is result:
        return "The backward pass starts here, with the derivative of the result by itself: 1."
    names = [child.name for child in node.children]
    if len(names) == 1:
        how = f"One child, {names[0]}: its gradient times the Jacobian of the edge."
    else:
        how = f"A sum over the children {' and '.join(names)}."
    if node.kind == "parameter":
        return f"{how} Training needs this gradient, as {node.name} is a parameter."
    if node.kind == "input":
        return f"{how} Training does not need it, as {node.name} is an input."
    return how


def meaning(example: Example, outcome: Outcome) -> str:
    """Return what the classifier predicts for the example, and how good that is."""
    true, predicted = example.label, outcome.predicted
    if outcome.probabilities is None:
        given = [f"score {score:.4g}".replace("-", "−") for score in outcome.scores]
    else:
        given = [f"probability {p:.4g}" for p in outcome.probabilities]
    text = f"Predicted: “{example.class_names[predicted]}”, {given[predicted]}. "
    if predicted == true:
        text += "That is right."
    else:
        text += f"True: “{example.class_names[true]}”, {given[true]}."
    text += f" Loss {outcome.loss:.4g} (equal scores: {outcome.loss_of_equal_scores:.4g})"
    text += f", cost {outcome.cost:.4g}." if outcome.cost != outcome.loss else "."
    if not math.isfinite(outcome.loss):
        text += " The loss is not finite, so some of the gradients are undefined."
        if outcome.probabilities is not None:
            text += (
                " The cause is a probability that underflows to 0. Training computes the log of "
                "SoftMax directly, which avoids this."
            )
    return text
