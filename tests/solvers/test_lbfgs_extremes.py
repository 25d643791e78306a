"""L-BFGS where the optimum is far away: separable examples, weak penalties, absent classes."""

import numpy as np
import pytest

from backprop_cli.fitting import prepare
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import Observer
from tests.make import dataset, job, split


def arrived(data, tolerance, *models):
    """Return L-BFGS training of models after its last step."""
    settings, _ = job(*models)
    training = prepare(data, settings, FullBatchLbfgs(tolerance, "accuracy"))
    training.run(Observer())
    return training


def blobs(n, d, distance, seed):
    """Return examples of three classes around centres at a distance."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = distance * rng.standard_normal((3, d))
    return split(rng.standard_normal((n, d)) + centres[labels], labels)


@pytest.mark.parametrize("seed", [1, 12])
def test_a_class_without_training_examples(seed):
    """Its probabilities underflow, so that the cost does not depend on its bias any more."""
    training = arrived(dataset(blobs(60, 4, 3.0, seed), n_classes=4), 1e-4, {"l2": 1e-9})
    found = training.optimality(0, Observer())
    assert 0 < found.gap <= found.cost  # no cost is negative, so no gap is larger


def test_a_certificate_that_was_asked_for_too_early_is_asked_for_again():
    data = dataset(blobs(144, 6, 2.0, 1))
    training = arrived(data, 1e-3, *({"l2": l2} for l2 in (1e-4, 1e-5, 3e-6, 1e-6, 1e-7, 1e-8)))
    for m in range(6):
        assert training.optimality(m, Observer()).relative_gap < 1e-3
    assert training.epochs_finished < 1000
