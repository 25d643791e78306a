"""scikit-learn: a LogisticRegression, in a file of skops."""

from __future__ import annotations

import pathlib

import numpy as np
import skops.io
from sklearn.linear_model import LogisticRegression

from backprop_cli.exports.raw import RawClassifier


def content(classifier: RawClassifier) -> bytes:
    """Return the file: a fitted estimator, whose classes are the class names."""
    names = np.array(classifier.class_names)
    order = np.argsort(names)  # of the classes, in scikit-learn
    weights, bias = classifier.weights[order], classifier.bias[order]
    if len(names) == 2:  # scikit-learn has one row for two classes
        weights, bias = weights[1:] - weights[:1], bias[1:] - bias[:1]
    estimator = LogisticRegression()
    estimator.classes_ = names[order]
    estimator.coef_, estimator.intercept_ = weights, bias
    estimator.n_features_in_ = weights.shape[1]
    return bytes(skops.io.dumps(estimator))


def usage(classifier: RawClassifier, path: pathlib.Path) -> str:
    """Return the lines of Python that load the file."""
    return "\n".join(
        [
            "import skops.io",
            f"classifier = skops.io.load({str(path)!r})",
            f"probabilities = classifier.predict_proba(x)  # x: n x {classifier.weights.shape[1]}",
        ]
    )
