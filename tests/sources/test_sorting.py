"""Whether neighbours tend to have the same class: sorted, in runs, and by chance."""

import numpy as np
import pytest

from backprop_cli.sources import class_correlation, is_sorted

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n_classes", [2, 10, 1000])
def test_sorted_labels_are_found(n_classes):
    labels = np.arange(20_000) * n_classes // 20_000
    for block in (4, 20, 100, 500):
        if block * n_classes <= 20_000:  # blocks of one class each
            assert class_correlation(labels, block) == pytest.approx(1, abs=0.1)
        assert is_sorted(labels, block)
        assert not is_sorted(RNG.permutation(labels), block)


def test_the_correlation_is_that_of_the_clusters_drawn():
    """A block has a share r of one class and the rest by chance: its correlation is r^2."""
    n_blocks, block, n_classes = 4000, 50, 5
    for share in (0.4, 0.7):
        own = RNG.integers(0, n_classes, (n_blocks, 1))
        drawn = RNG.integers(0, n_classes, (n_blocks, block))
        labels = np.where(RNG.random((n_blocks, block)) < share, own, drawn).reshape(-1)
        assert class_correlation(labels, block) == pytest.approx(share**2, abs=0.02)


def test_what_cannot_be_sorted_is_not():
    for labels in (np.zeros(100, np.int64), np.arange(100) % 2, np.arange(5)):
        assert not is_sorted(labels, 10)
    assert not is_sorted(np.arange(100) // 50, 1)
    assert not is_sorted(np.arange(100) // 50, 100)
    four_crops = np.repeat(RNG.integers(0, 10, 5000), 4)
    assert not is_sorted(four_crops, 200)
