"""Which arrays, or columns, of a file are the features and the labels."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from backprop_cli.errors import DataError, listed

_FEATURES = ("x", "X", "features")
_LABELS = ("y", "Y", "labels", "label")


@dataclass(frozen=True)
class ArrayNames:
    """The names of arrays, as a config has them; None: those that are usual.

    Attributes
    ----------
    features, labels
        Of the features and of the labels.
    """

    features: str | None = None
    labels: str | None = None

    def choose(
        self, found: Sequence[str], path: pathlib.Path, others: Sequence[str] | None = None
    ) -> list[str]:
        """Return the name of the features and, if there are labels, theirs.

        Parameters
        ----------
        found
            The names of what may be the features.
        path
            The file.
        others
            The names of what may be the labels; None: the same.

        Raises
        ------
        DataError
            The file does not have a name of the config, or no name that is usual.
        """
        others = found if others is None else others
        for key, name, there in (
            ("features_name", self.features, found),
            ("labels_name", self.labels, others),
        ):
            if name is not None and name not in there:
                raise DataError(
                    f"data.{key}: expected one of {path}, which has {listed(there) or 'none'}; "
                    f"found {name!r}"
                )
        features = self.features or next((name for name in _FEATURES if name in found), None)
        if features is None and len(found) == 1:
            features = found[0]
        if features is None:
            raise DataError(
                f"{path}: expected features as an array {', '.join(_FEATURES[:-1])} or "
                f"{_FEATURES[-1]}, found {listed(found) or 'none'}; "
                "data.features_name names another"
            )
        labels = self.labels or next((name for name in _LABELS if name in others), None)
        return [features] if labels is None or labels == features else [features, labels]
