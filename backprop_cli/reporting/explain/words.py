"""The sentences: what a node is for, what a gradient is made of, what the result means."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backprop_cli.graph import Node
    from backprop_cli.reporting.explain.explanation import Example, Outcome

_OF_START_NODES = {
    "W": "The weights, to be learnt: a row for each score.",
    "b": "The bias, to be learnt: a number for each score.",
    "x": "The example's features, standardized.",
    "y": "The target: how much of each class the example is.",
    "v": "The weight of the example's class.",
    "lambda": "How much the penalty counts.",
}
_OF_OPERATIONS = {
    "matrix_vector": "Each row of W times the features.",
    "add": "The bias is added: these are the scores.",
    "two_scores": "The one score stands for a pair, a score for each class.",
    "softmax": "The scores become probabilities, positive and in sum 1.",
    "cross_entropy": "The loss: minus the log of the probability of the target.",
    "multiclass_svm": "The loss: each wrong class pays for a score that is not at least 1 below "
    "that of the true class.",
    "weighted_mean": "The loss, times the weight of the example's class.",
    "sum_of_squares": "The penalty: the sum of the squares of all weights.",
    "regularized": "The cost: the loss, plus lambda times the penalty.",
}


def of_value(node: Node) -> str:
    """Return a sentence about a node of the classifier's graph."""
    if node.operation is None:
        return _OF_START_NODES[node.name]
    return _OF_OPERATIONS[node.operation.name]


def of_gradient(node: Node, result: Node) -> str:
    """Return how a node's gradient comes about, and whether anybody needs it."""
    if node is result:
        return "The backward pass starts here: a quantity changes with itself at the rate 1."
    names = [child.name for child in node.children]
    if len(names) == 1:
        how = f"One child, {names[0]}: its gradient times the Jacobian of the edge."
    else:
        how = f"A sum over the children {' and '.join(names)}."
    if node.kind == "parameter":
        return f"{how} Training needs this one: {node.name} is a parameter."
    if node.kind == "input":
        return f"{how} Training does not need it: {node.name} is an input."
    return how


def meaning(example: Example, outcome: Outcome) -> str:
    """Return in words what the classifier makes of the example."""
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
        text += (
            " A probability underflows to 0 here, and what is multiplied with its Jacobian has no "
            "value; training goes through the log of SoftMax, where that cannot happen."
        )
    return text
