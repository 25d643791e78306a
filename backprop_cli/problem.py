"""One mini-batch, one classifier, one cost: what a gradient is checked and explained on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import Config
from backprop_cli.engine import BatchEngine
from backprop_cli.graph import Graph, LossSteps, classifier_graph
from backprop_cli.objective import check_against_data, initial_parameters, training_objective
from backprop_cli.sources import Dataset, Gatherer, fit_standardization

Vector = NDArray[np.float64]

_LOSS_STEPS: dict[str, LossSteps] = {
    "softmax_cross_entropy": (("p", "softmax"), ("l", "cross_entropy")),
    "multiclass_svm": (("l", "multiclass_svm"),),
}


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
        A name of `LOSSES`.
    l2
        lambda.
    """

    W: Vector
    b: Vector
    rows: Vector
    Y: Vector
    example_weights: Vector
    loss: str
    l2: float

    @property
    def parameters(self) -> dict[str, Vector]:
        """W and b by name."""
        return {"W": self.W, "b": self.b}

    def without_penalty(self) -> Problem:
        """Return the data term alone."""
        return replace(self, l2=0.0)

    def engine(self) -> BatchEngine:
        """Return a batch engine at copies of W and b."""
        return BatchEngine(
            self.W[None].copy(),
            self.b[None].copy(),
            losses=[self.loss],
            l2=[self.l2],
            n_classes=len(self.Y),
            batch_size=len(self.rows),
        )

    def graph(self) -> Graph:
        """Return the computational graph of the cost, before its forward pass."""
        weighted = bool((self.example_weights != 1).any())
        return classifier_graph(
            self.W,
            self.b,
            self.rows,
            self.Y.T,
            loss=_LOSS_STEPS[self.loss],
            l2=self.l2,
            example_weights=self.example_weights if weighted else None,
        )


def make_problem(config: Config, dataset: Dataset, rows: NDArray[np.intp]) -> Problem:
    """Return the cost that training starts from, on some training examples.

    Parameters
    ----------
    config
        Loss, l2, label smoothing, class weights, standardization, seed of W.
    dataset
        Its training split also gives the statistics of the standardization.
    rows
        Rows of the training split's features, n of them.
    """
    check_against_data(config, dataset)
    train = dataset.train
    W, b = initial_parameters([config], dataset.n_classes, dataset.n_features)
    standardization = fit_standardization(dataset, config.data.standardize)
    gather = Gatherer(standardization, np.float64, len(rows))
    objective = training_objective([config], dataset, np.dtype(np.float64))
    labels = train.labels[rows]
    weights = objective.example_weights(labels)
    return Problem(
        W=W[0].astype(np.float64),
        b=b[0].astype(np.float64),
        rows=np.asarray(gather(train.features, rows), np.float64),
        Y=np.asarray(objective.targets(labels, objective.buffer(len(rows)))[0], np.float64),
        example_weights=np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64),
        loss=config.loss,
        l2=config.l2,
    )
