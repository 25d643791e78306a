"""A trained linear classifier: arrays in, scores, probabilities and decisions out. No files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backprop_cli.engine import Targets, Task, decide, probabilities
from backprop_cli.engine.numpy_engine import NumpyEngine
from backprop_cli.errors import DataError
from backprop_cli.losses import LOSSES, Array
from backprop_cli.sources import ImageLayout, Source, Split, Standardization, from_planes


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A linear classifier with all that it needs to classify raw features.

    Attributes
    ----------
    weights, bias
        O x d and O, O = C or 1, float32 or float64; on standardized features.
    standardization
        Of the features.
    class_names
        C names.
    image_shape
        (channels, height, width), or None. The features of an image are its channel planes, one
        after the other.
    loss
        The loss it was trained with: a name of `LOSSES`.
    """

    weights: Array
    bias: Array
    standardization: Standardization
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None
    loss: str

    @property
    def n_features(self) -> int:
        """The number of features, d."""
        return int(self.weights.shape[1])

    @property
    def n_classes(self) -> int:
        """The number of classes, C."""
        return len(self.class_names)

    def predict(
        self, source: Source, rows: NDArray[np.intp], temperature: float = 1.0
    ) -> tuple[Array, NDArray[np.intp]]:
        """Return probabilities and decisions for some rows of a source.

        Parameters
        ----------
        source
            Raw features, N x d.
        rows
            n of the N.
        temperature
            What the scores are divided by before SoftMax.

        Returns
        -------
        probabilities
            n x C. An SVM's scores were not trained to be logarithms of probabilities.
        decisions
            n classes; the temperature does not change them.

        Raises
        ------
        DataError
            The examples are of another size, or images of another shape.
        """
        scores = self.scores(source, rows)
        return probabilities(scores / scores.dtype.type(temperature)).T, decide(scores)

    def scores(self, source: Source, rows: NDArray[np.intp]) -> Array:
        """Return the scores of some rows of a source, O x n.

        Raises
        ------
        DataError
            The examples are of another size, a score is so large that losses would overflow, or a
            file was changed meanwhile.
        """
        scores = np.empty((len(self.bias), len(rows)), self.weights.dtype)
        for some, found in self.score_blocks(source, rows):
            scores[:, some] = found
        return scores

    def score_blocks(self, source: Source, rows: NDArray[np.intp]) -> Iterator[tuple[slice, Array]]:
        """Yield the scores of some rows block by block: which of the rows, and O x their number.

        They are sums in float64, rounded to the model's type at the end: sums of thousands of
        products in float32 would differ between libraries from the sixth digit on. Errors are
        those of `scores`; at the end, also a DataError if a file was changed meanwhile.
        """
        self.check(source)
        engine = self.engine(source.image)
        weights, bias = (array.astype(np.float64) for array in self.parameters(source.image))
        # So that differences of scores, and their sums over the classes, are finite too.
        largest = np.finfo(self.weights.dtype).max / (2 * self.n_classes)
        first = 0
        for block in Split(source, rows).blocks(engine.examples_at_once):
            some = slice(first, first + len(block.rows))
            first = some.stop
            with np.errstate(over="ignore", invalid="ignore"):
                exact = engine.scores(weights, bias, block)[0]
            good = (np.abs(exact) <= largest).all(axis=0)  # NaN is not
            if not good.all():
                row = int(rows[some][int(np.argmin(good))])
                raise DataError(
                    f"{source.name}: the scores of example {row} are too large for "
                    f"{self.weights.dtype}; look at its features and at the model's weights"
                )
            yield some, exact.astype(self.weights.dtype)
        source.check_unchanged()

    def check(self, source: Source) -> None:
        """Refuse examples of another size or another image shape than the model was trained on.

        An image may come as plain features, its channel planes one after the other.

        Raises
        ------
        DataError
            The message begins with the source's name.
        """
        d, found = self.n_features, source.features.shape[1]
        if source.image is not None and source.image.shape != self.image_shape:
            raise DataError(
                f"{source.name}: expected {_size(self.image_shape, d)} as the model has, "
                f"found {_size(source.image.shape, found)}"
            )
        if found != d:
            raise DataError(
                f"{source.name}: expected examples of {d} features as the model has, found {found}"
            )

    def parameters(self, image: ImageLayout | None) -> tuple[Array, Array]:
        """Return W and b as a stack of one model, for examples that are stored in some order."""
        weights = np.ascontiguousarray(from_planes(image, self.weights))
        return weights[None], np.ascontiguousarray(self.bias)[None]

    def standardization_for(self, image: ImageLayout | None) -> Standardization:
        """Return the standardization of examples that are stored in some order."""
        mean, std = self.standardization.mean, self.standardization.std
        return Standardization(from_planes(image, mean), from_planes(image, std))

    def on_raw_features(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights and bias that take features as they are, O x d and O.

        The standardization is folded in: W (x - mean) / std + b = (W / std) x + (b - W mean / std).
        """
        weights = self.weights / self.standardization.std
        return weights, self.bias - weights @ self.standardization.mean

    def parameters_under(self, standardization: Standardization) -> tuple[Array, Array]:
        """Return W and b that do the same on features standardized otherwise, 1 x O x d and 1 x O.

        Features are in the model's order.
        """
        weights, bias = self.on_raw_features()
        bias += weights @ standardization.mean
        return (weights * standardization.std)[None], bias[None]

    def engine(self, image: ImageLayout | None) -> NumpyEngine:
        """Return an engine that scores examples stored in some order, in float64."""
        return NumpyEngine(
            Task(
                losses=(LOSSES[self.loss],),
                targets=Targets.plain(self.n_classes, np.dtype(np.float64)),
                n_outputs=len(self.bias),
                standardization=self.standardization_for(image),
                splits=(),
                dtype=np.dtype(np.float64),
                batch_size=1,
                threads=1,
            )
        )


def _size(image_shape: tuple[int, int, int] | None, n_features: int) -> str:
    """Describe the size of one example."""
    if image_shape is None:
        return f"examples of {n_features} plain features"
    channels, height, width = image_shape
    return f"images of {height} x {width} pixels and {channels} channel{'s' * (channels > 1)}"
