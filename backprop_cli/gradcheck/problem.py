"""One mini-batch, one classifier, one cost, in float64: what derivations are applied to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.graph import Graph, classifier_graph
from backprop_cli.losses import Loss, Vector
from backprop_cli.settings import Settings
from backprop_cli.sources import Block, Dataset, Standardization, to_planes


@dataclass(frozen=True)
class Problem:
    """J(W, b) = sum_i v_i l(x_i, y_i, W, b) / n + lambda sum W_ij^2, all in float64.

    Attributes
    ----------
    W, b
        O x d and O; O = C, or 1 for the classifier with a single output.
    rows
        X transposed, n x d, standardized.
    Y
        Targets, C x n.
    example_weights
        v, n numbers.
    loss
        The loss l.
    l2
        lambda.
    """

    W: Vector
    b: Vector
    rows: Vector
    Y: Vector
    example_weights: Vector
    loss: Loss
    l2: float

    @property
    def parameters(self) -> dict[str, Vector]:
        """W and b by name."""
        return {"W": self.W, "b": self.b}

    def without_penalty(self) -> Problem:
        """Return the data term alone."""
        return replace(self, l2=0.0)

    def scores(self) -> Vector:
        """Return a score per class, C x n: a single score s (1 x n) is the pair (-s/2, +s/2)."""
        return class_scores(self.W @ self.rows.T + self.b[:, None])

    def graph(self) -> Graph:
        """Return the computational graph of the cost, before its forward pass."""
        weighted = bool((self.example_weights != 1).any())
        return classifier_graph(
            self.W,
            self.b,
            self.rows,
            self.Y.T,
            loss=self.loss.graph,
            l2=self.l2,
            example_weights=self.example_weights if weighted else None,
        )


def class_scores(S: NDArray[Any]) -> NDArray[Any]:
    """Return a score per class, C x n: a single score s (1 x n) is the pair (-s/2, +s/2)."""
    return S if len(S) > 1 else np.concatenate([-S / 2, S / 2])


def make_problem(
    dataset: Dataset,
    settings: Settings,
    standardization: Standardization,
    parameters: tuple[NDArray[Any], NDArray[Any]],
    block: Block,
) -> Problem:
    """Return the first model's cost on some training examples, derived from the settings alone.

    Nothing of an engine is used: examples are gathered, mirrored and standardized here once more.

    Parameters
    ----------
    dataset
        Says how many classes there are, and how examples are images.
    settings
        Loss, l2, label smoothing, class weights.
    standardization
        Of the training split.
    parameters
        W and b, O x d and O.
    block
        The examples.
    """
    image, model = dataset.image, settings.models[0]
    x = to_planes(image, block.features[block.rows]).astype(np.float64)
    if block.mirrored is not None and image is not None:
        images = x.reshape(-1, *image.shape)
        images[block.mirrored] = images[block.mirrored][..., ::-1]
    mean, std = to_planes(image, standardization.mean), to_planes(image, standardization.std)
    labels = block.labels[block.rows]
    one_hot = np.zeros((dataset.n_classes, len(labels)))
    one_hot[labels, np.arange(len(labels))] = 1
    a = model.label_smoothing
    return Problem(
        W=to_planes(image, parameters[0]).astype(np.float64),
        b=parameters[1].astype(np.float64),
        rows=(x - mean) / std,
        Y=(1 - a) * one_hot + a / dataset.n_classes,
        example_weights=_example_weights(dataset, settings, block),
        loss=model.loss,
        l2=model.l2,
    )


def _example_weights(dataset: Dataset, settings: Settings, block: Block) -> Vector:
    """Return v: the weight of an example's class times its own."""
    of_class = _class_weights(dataset, settings, block.labels[block.rows])
    own = block.example_weights
    return of_class if own is None else of_class * own[block.rows]


def _class_weights(dataset: Dataset, settings: Settings, labels: NDArray[np.int64]) -> Vector:
    """Return the weight of each example's class: balanced, n / (classes there are x n_class)."""
    weights = settings.class_weights
    if weights is None:
        return np.ones(len(labels))
    if isinstance(weights, str):
        classes, counts = np.unique(dataset.train.own_labels(), return_counts=True)
        of_class = dict(zip(classes, counts.sum() / (len(classes) * counts), strict=True))
        return np.array([of_class[label] for label in labels])
    return np.asarray(weights, np.float64)[labels]
