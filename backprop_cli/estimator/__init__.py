"""The scikit-learn estimator over `backprop_cli.fit`."""

try:
    from backprop_cli.estimator.classifier import LinearClassifier
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] != "sklearn":
        raise
    raise ModuleNotFoundError(
        "LinearClassifier needs scikit-learn, found none: install backprop-cli[sklearn]",
        name="sklearn",
    ) from error

__all__ = ["LinearClassifier"]
