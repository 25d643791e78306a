"""Random-patch features of CIFAR-10 images, after Coates, Lee and Ng (2011)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIZE = 6  # pixels, height and width of a patch
_POSITIONS = 32 - _SIZE + 1
_N_SAMPLED = 200_000  # patches from which the whitening is estimated
_EPS_CONTRAST, _EPS_WHITENING = 10.0, 0.1  # the authors' values, for pixels from 0 to 255
_THRESHOLD = 0.5


class PatchFeatures:
    """Map images to 8 ``n_patches`` features: how strongly each patch occurs in each quadrant.

    A patch is normalized to mean 0 and variance 1, and whitened (ZCA). The dictionary consists of
    random whitened patches of norm 1. The responses max(0, s - t) and max(0, -s - t) to each of
    them, with threshold t, are summed over the 4 quadrants (Coates and Ng 2011, soft threshold).
    """

    def __init__(self, images: NDArray[np.uint8], n_patches: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        planes = images.reshape(-1, 3, 32, 32)
        rows = rng.integers(0, len(planes), _N_SAMPLED)
        top, left = rng.integers(0, _POSITIONS, (2, _N_SAMPLED))
        within = np.arange(_SIZE)
        sampled = planes[
            rows[:, None, None, None],
            np.arange(3)[:, None, None],
            (top[:, None] + within)[:, None, :, None],
            (left[:, None] + within)[:, None, None, :],
        ]
        x = _normalized(sampled.reshape(_N_SAMPLED, -1).astype(np.float32))
        mean = x.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(x, rowvar=False).astype(np.float64))
        zca = (vectors / np.sqrt(values + _EPS_WHITENING)) @ vectors.T
        patches = (x[rng.choice(_N_SAMPLED, n_patches, replace=False)] - mean) @ zca
        patches /= np.linalg.norm(patches, axis=1, keepdims=True)
        self._filters = (zca @ patches.T).astype(np.float32)  # 108 x n_patches
        self._offset = mean @ self._filters

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return n x (8 n_patches) features."""
        found = np.empty((len(images), 2, 4, self._filters.shape[1]), np.float32)
        first, second = slice(_POSITIONS // 2), slice(_POSITIONS // 2, None)
        quadrants = [(r, c) for r in (first, second) for c in (first, second)]
        for image, features in zip(images.reshape(-1, 3, 32, 32), found, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(image, (_SIZE, _SIZE), axis=(1, 2))
            by_position = windows.transpose(1, 2, 0, 3, 4)
            for k, quadrant in enumerate(quadrants):
                x = by_position[quadrant].reshape(-1, 3 * _SIZE**2).astype(np.float32)
                scores = _normalized(x) @ self._filters - self._offset
                features[0, k] = np.maximum(scores - _THRESHOLD, 0).sum(axis=0)
                features[1, k] = np.maximum(-scores - _THRESHOLD, 0).sum(axis=0)
        return found.reshape(len(images), -1)


def _normalized(patches: NDArray[np.float32]) -> NDArray[Any]:
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= np.sqrt(patches.var(axis=1, keepdims=True) + _EPS_CONTRAST)
    return patches
