"""Describes the gradient of one example, or of an expression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backprop_cli.errors import DataError, GraphError
from backprop_cli.gradcheck import make_problem
from backprop_cli.graph import OPERATIONS, Graph, Node
from backprop_cli.reporting.explain import words
from backprop_cli.reporting.explain.explanation import (
    BackwardStep,
    Classified,
    Example,
    Explanation,
    Outcome,
)
from backprop_cli.reporting.explain.notation import plain, shape_text, shortened
from backprop_cli.reporting.explain.passes import child_by, described
from backprop_cli.solvers.descent import Descent
from backprop_cli.sources import to_planes

_MAX_SHOWN = 6  # numbers of a result


def explain(descent: Descent, index: int, weights: str) -> Explanation:
    """Explain the gradient of one training example at the weights of a training.

    Parameters
    ----------
    descent
        Its data, its settings and its weights.
    index
        The index of the example in the training split, from 0.
    weights
        Which weights these are, in words.

    Raises
    ------
    DataError
        If there is no such example.
    """
    dataset, model = descent.dataset, descent.settings.models[0]
    train, image = dataset.train, dataset.image
    if not 0 <= index < len(train):
        raise DataError(
            f"example {index}: expected 0 to {len(train) - 1}, "
            f"the training split has {len(train)} examples"
        )
    block = train.block(index, index + 1)
    parameters = descent.state.W[0], descent.state.b[0]
    problem = make_problem(dataset, descent.settings, descent.standardization, parameters, block)
    example = Example(
        index=index,
        n_examples=len(train),
        label=int(block.labels[block.rows[0]]),
        class_names=dataset.class_names,
        features=np.array(to_planes(image, block.features[block.rows[0]])),
        image_shape=dataset.image_shape,
    )
    return describe_graph(
        problem.graph(),
        example,
        loss=model.loss.name,
        l2=model.l2,
        weights=weights,
        loss_of_equal_scores=model.loss.at_equal_scores(dataset.n_classes),
    )


def describe_graph(
    graph: Graph,
    example: Example,
    *,
    loss: str,
    l2: float,
    weights: str,
    loss_of_equal_scores: float,
) -> Explanation:
    """Describe both passes through a classifier's graph of one example, and what they cost.

    Parameters
    ----------
    graph
        From `classifier_graph`, for one example and any loss. The forward pass is run here.
    example
        The example.
    loss
        The name of the loss.
    l2
        lambda.
    weights
        Which weights these are, in words.
    loss_of_equal_scores
        The loss when all scores are equal, for comparison.
    """
    passes = described(graph, classifier=True)
    outcome = _outcome(graph, loss_of_equal_scores)
    name = example.class_names[example.label]
    penalty = f"l2 {l2:g}" if l2 else "no l2"
    return Explanation(
        title=f"Example {example.index}, “{name}”, forward and back",
        setting=(
            f"Training example {example.index} of {example.n_examples}: class {example.label}, "
            f"{shortened(name)}",
            f"{loss}, {penalty}; {weights}; float64",
            *_notes(graph, passes["backward"]),
        ),
        meaning=words.meaning(example, outcome),
        classified=Classified(example, outcome, loss, l2),
        **passes,
    )


def explain_function(graph: Graph, text: str, values: str) -> Explanation:
    """Describe both passes through the graph of any function.

    Parameters
    ----------
    graph
        The graph, with values at its start nodes.
    text
        What the user wrote: an expression, or the name of a file.
    values
        Where the values come from, in words.

    Raises
    ------
    GraphError
        A value is infinite or no number.
    """
    _refuse_infinite(graph, text)
    passes = described(graph, classifier=False)
    result = graph.result
    found = f"{shape_text(result.value.shape)} numbers"
    if result.size == 1:
        found = f"{result.value.item():.6g}"
    elif result.size <= _MAX_SHOWN and result.value.ndim == 1:
        found = f"({', '.join(f'{number:.4g}' for number in result.value)})"
    return Explanation(
        title=f"{text}, forward and back",
        setting=(text, f"{values}; float64", *_notes(graph, passes["backward"])),
        meaning=f"{plain(result.name)} = {found}".replace("-", "−"),
        classified=None,
        **passes,
    )


def _refuse_infinite(graph: Graph, text: str) -> None:
    """Refuse values that are not finite: what is computed from them says nothing."""
    for node in graph.topological_order():
        if np.isfinite(node.value).all():
            continue
        what = "not a number" if np.isnan(node.value).any() else "infinite"
        at = [f"{p.name} = {p.value.item():.6g}" for p in node.parents if p.size == 1]
        at += [
            f"{p.name} from {p.value.min():.6g} to {p.value.max():.6g}"
            for p in node.parents
            if p.size > 1
        ]
        where = f" at {', '.join(at)}" if at else ""
        raise GraphError(f"{shortened(text)}: {plain(node.formula)} is {what}{where}")


def _notes(graph: Graph, backward: Sequence[BackwardStep]) -> list[str]:
    """Return what one should know of the numbers: targets that are none, infinite gradients."""
    notes = []
    for node in graph.topological_order():
        if node.operation is OPERATIONS["cross_entropy"]:
            y = node.parents[1]
            if y.value.min() < 0 or not np.isclose(y.value.sum(), 1.0, rtol=0, atol=1e-6):
                notes.append(
                    f"Note: {y.name} is no target of cross_entropy: its entries are to be at least "
                    f"0 and to add up to 1, as in --at {y.name}=[0,1,0]"
                )
        if node.operation is OPERATIONS["multiclass_svm"]:
            y = node.parents[1]
            if not np.array_equal(np.sort(y.value), np.eye(y.size)[-1]):
                notes.append(
                    f"Note: {y.name} is no target of multiclass_svm: one entry is to be 1, the "
                    f"others 0, as in --at {y.name}=[0,1,0]"
                )
    names = [step.name for step in backward if not np.isfinite(step.gradient).all()]
    if names:
        notes.append(
            f"Note: the gradient by {', '.join(map(plain, names))} is infinite or not a number: "
            "there is no derivative at this point, or a number overflows"
        )
    return notes


def _outcome(graph: Graph, loss_of_equal_scores: float) -> Outcome:
    scores = child_by(graph["s"], "two_scores") or graph["s"]
    probabilities = child_by(scores, "softmax")
    return Outcome(
        predicted=int(np.argmax(scores.value)),
        scores=scores.value,
        probabilities=None if probabilities is None else probabilities.value,
        loss=float(_loss(graph).value),
        cost=float(graph.result.value),
        loss_of_equal_scores=loss_of_equal_scores,
    )


def _loss(graph: Graph) -> Node:
    """Return the loss of the example: the only node that is computed from the target."""
    return graph["y"].children[0]
