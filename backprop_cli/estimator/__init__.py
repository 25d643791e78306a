"""The scikit-learn estimator over `backprop_cli.fit`."""

try:
    import sklearn  # noqa: F401 - asked for here, where its absence can be told
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "LinearClassifier needs scikit-learn, found none: install backprop-cli[sklearn]",
        name="sklearn",
    ) from error

from backprop_cli.estimator.classifier import LinearClassifier

__all__ = ["LinearClassifier"]
