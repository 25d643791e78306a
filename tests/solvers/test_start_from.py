"""Training that starts from given parameters, by both solvers."""

import numpy as np
import pytest

from backprop_cli.fitting import prepare
from backprop_cli.solvers.observer import Observer
from tests.make import dataset, job, split, to_optimum
from tests.test_fitting import blobs


def test_descent_goes_on_from_there():
    """Without momentum, and at a constant rate, two epochs are one epoch and another."""
    data = dataset(split(*blobs()))
    whole = prepare(data, *job(epochs=1, batch_size=400, dtype="float64"))
    whole.run(Observer())
    first = whole.kept(0)
    again = prepare(data, *job(epochs=1, batch_size=400, dtype="float64"))
    again.start_from(first.W[None], first.b[None])
    again.run(Observer())
    both = prepare(data, *job(epochs=2, batch_size=400, dtype="float64"))
    both.run(Observer())
    np.testing.assert_allclose(again.kept(0).W, both.kept(0).W, rtol=1e-12)
    np.testing.assert_allclose(again.kept(0).b, both.kept(0).b, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("l2", [0.1, 0.0])
def test_lbfgs_is_done_sooner(l2):
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((200, 4)), rng.integers(3, size=200)  # that overlap
    data = dataset(split(x, labels))
    cold = to_optimum(data, l2=l2, dtype="float64")
    kept = cold.kept(0)
    warm = prepare(data, cold.settings, cold.solver)
    warm.start_from(kept.W[None], kept.b[None])
    warm.run(Observer())
    assert len(warm.history[0]) < len(cold.history[0]) / 2
    assert warm.certificate(0).cost <= cold.certificate(0).cost * (1 + 1e-9)
