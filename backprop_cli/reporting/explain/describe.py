"""Describes the gradient of one example, or of an expression."""

from __future__ import annotations

import numpy as np

from backprop_cli.errors import DataError
from backprop_cli.gradcheck import make_problem
from backprop_cli.graph import Graph, Node
from backprop_cli.reporting.explain import words
from backprop_cli.reporting.explain.explanation import Classified, Example, Explanation, Outcome
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
    """
    passes = described(graph, classifier=False)
    result = graph.result
    found = f"{shape_text(result.value.shape)} numbers"
    if result.size == 1:
        found = f"{result.value.item():.6g}"
    elif result.size <= _MAX_SHOWN and result.value.ndim == 1:
        found = f"({', '.join(f'{number:.4g}' for number in result.value)})"
    return Explanation(
        title=f"{text}, forward and back",
        setting=(text, f"{values}; float64"),
        meaning=f"{plain(result.name)} = {found}".replace("-", "−"),
        classified=None,
        **passes,
    )


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
