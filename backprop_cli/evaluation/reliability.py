"""Reliability: of the decisions made with 70 % confidence, 70 % should be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy in bins of equal width, by confidence from 0 to 1.

    Attributes
    ----------
    counts
        The number of examples in each bin.
    confidence, accuracy
        The mean in each bin; NaN if it is empty.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """The expected calibration error: |accuracy - confidence|, averaged over examples.

        See Naeini et al., 2015; Guo et al., 2017, section 2, with 15 bins.
        """
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(gaps * self.counts) / self.counts.sum())


def reliability(confidence: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> Reliability:
    """Return the reliability of n decisions.

    Parameters
    ----------
    confidence
        The probability of the decided class of each example.
    right
        Whether it is the true class.
    """
    # A bin includes its upper edge but not its lower one, as in the literature; 0 is in the first.
    place = np.clip(np.ceil(confidence.astype(np.float64) * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)

    def means(values: NDArray[Any]) -> NDArray[np.float64]:
        sums = np.bincount(place, values, minlength=BINS)
        result = np.full(BINS, np.nan)
        np.divide(sums, counts, out=result, where=counts > 0)
        return result

    return Reliability(counts, means(confidence), means(right))
