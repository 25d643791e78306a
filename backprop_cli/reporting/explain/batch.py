"""The gradient of a mini-batch: as matrices, and as the loop over examples that adds up to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from backprop_cli.errors import DataError
from backprop_cli.gradcheck import Problem, make_problem
from backprop_cli.reporting.explain.explanation import Array, norm_of
from backprop_cli.solvers.descent import Descent

MAX_EXAMPLES = 64


@dataclass(frozen=True)
class BatchExplanation:
    """The lecture's last step, on n examples of the training split.

    Attributes
    ----------
    setting
        What is explained, in lines.
    class_names
        C names.
    labels
        n classes.
    first
        The index of the first example in the training split.
    image_shape
        (channels, height, width), or None.
    matrices
        X (d x n), S, P (of a loss with probabilities), Y and G (C x n), by letter; for a single
        score, S has one row and G too.
    terms
        g x^T of each example, n x O x d: what the loop adds.
    product
        G X^T / n, O x d, from the matrices.
    bias
        G 1 / n, O.
    weights, l2
        W and lambda.
    """

    setting: tuple[str, ...]
    class_names: tuple[str, ...]
    labels: tuple[int, ...]
    first: int
    image_shape: tuple[int, int, int] | None
    matrices: dict[str, Array]
    terms: Array
    product: Array
    bias: Array
    weights: Array
    l2: float

    @property
    def n(self) -> int:
        """The number of examples."""
        return len(self.labels)

    @property
    def difference(self) -> float:
        """How far the loop's sum, over n, is from G X^T / n."""
        return float(np.abs(self.terms.sum(axis=0) / self.n - self.product).max())

    @property
    def gradient(self) -> Array:
        """Return dJ/dW = G X^T / n + 2 lambda W."""
        return self.product + 2 * self.l2 * self.weights

    def to_mapping(self) -> dict[str, Any]:
        """Return plain objects for JSON: all matrices, row by row."""
        return {
            "setting": list(self.setting),
            "classes": list(self.class_names),
            "labels": list(self.labels),
            "matrices": {name: values.tolist() for name, values in self.matrices.items()},
            "loop": [
                {"example": self.first + i, "norm": norm_of(term)}
                for i, term in enumerate(self.terms)
            ],
            "largest_difference": self.difference,
            "dL_dW": self.product.tolist(),
            "dL_db": self.bias.tolist(),
            "dJ_dW": self.gradient.tolist(),
            "l2": self.l2,
        }


def explain_batch(descent: Descent, first: int, n: int, weights: str) -> BatchExplanation:
    """Explain the gradient of n training examples at the weights of a training.

    Parameters
    ----------
    descent
        Its data, its settings and its weights.
    first
        The index of the first example.
    n
        The number of examples.
    weights
        Which weights these are, in words.

    Raises
    ------
    DataError
        There are not so many examples, or they have weights.
    """
    dataset, model = descent.dataset, descent.settings.models[0]
    there = len(dataset.train)
    if not 0 <= first <= there - n:
        raise DataError(
            f"examples {first} to {first + n - 1}: the training split has {there} examples, "
            f"0 to {there - 1}"
        )
    block = dataset.train.block(first, first + n)
    parameters = descent.state.W[0], descent.state.b[0]
    problem = make_problem(dataset, descent.settings, descent.standardization, parameters, block)
    scores = problem.W @ problem.rows.T + problem.b[:, None]
    slopes, probabilities = _by_matrices(problem)
    matrices = {
        "X": problem.rows.T, "S": scores, "P": probabilities, "Y": problem.Y, "G": slopes,
    }  # fmt: skip
    penalty = f"l2 {model.l2:g}" if model.l2 else "no l2"
    return BatchExplanation(
        setting=(
            f"Training examples {first} to {first + n - 1} of {there}, as a mini-batch",
            f"{model.loss.name}, {penalty}; {weights}; float64",
        ),
        class_names=dataset.class_names,
        labels=tuple(int(label) for label in block.labels[block.rows]),
        first=first,
        image_shape=dataset.image_shape,
        matrices={name: values for name, values in matrices.items() if values is not None},
        terms=_by_example(problem),
        product=slopes @ problem.rows / n,
        bias=slopes.sum(axis=1) / n,
        weights=problem.W,
        l2=problem.l2,
    )


def _by_matrices(problem: Problem) -> tuple[Array, Array | None]:
    """Return G, O x n, and P if the loss has probabilities, for all examples at once."""
    scores = problem.scores()
    slopes = problem.loss.loss_gradient(scores[None].copy(), problem.Y[None])[1][0]
    probabilities = slopes + problem.Y if problem.loss.smooth else None  # G = -(Y - P)
    if len(problem.b) == 1:
        slopes = (slopes[1:] - slopes[:1]) / 2
    return np.asarray(slopes * problem.example_weights, np.float64), probabilities


def _by_example(problem: Problem) -> Array:
    """Return g x^T of each example, n x O x d, one at a time."""
    terms = []
    columns = zip(
        problem.scores().T, problem.Y.T, problem.rows, problem.example_weights, strict=True
    )
    for s, y, x, v in columns:
        g = v * problem.loss.by_example(s, y)[1]
        if len(problem.b) == 1:
            g = (g[1:] - g[:1]) / 2
        terms.append(np.outer(g, x))
    return np.stack(terms)
