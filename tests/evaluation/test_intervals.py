"""Confidence intervals: known values, the equations they solve, and how often they are right."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from backprop_cli.evaluation.intervals import Z, mann_whitney, percentile, wilson
from backprop_cli.evaluation.measures import auc


def test_z():
    assert pytest.approx(norm.ppf(0.975), rel=1e-15) == Z


@pytest.mark.parametrize(("right", "n"), [(0, 1), (0, 20), (7, 20), (20, 20), (8470, 10_000)])
def test_wilson_is_scipys(right, n):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= wilson(right, n)[0] <= right / n <= wilson(right, n)[1] <= 1


@pytest.mark.parametrize(("value", "n0", "n1"), [(0.8, 30, 50), (0.5, 10, 10), (0.97, 400, 20)])
def test_the_ends_of_the_interval_of_auc_solve_its_equation(value, n0, n1):
    N = (n0 + n1) / 2 - 1
    for A in mann_whitney(value, n0, n1):
        Q1, Q2 = A / (2 - A), 2 * A**2 / (1 + A)  # the variance as Hanley and McNeil write it
        V = (A * (1 - A) + N * (Q1 - A**2) + N * (Q2 - A**2)) / (n0 * n1)
        assert abs(value - A) == pytest.approx(Z * math.sqrt(V), rel=1e-9)


def test_the_interval_of_a_perfect_auc_is_not_a_point():
    low, high = mann_whitney(1.0, 20, 30)
    assert high == 1
    assert 0.8 < low < 0.99
    assert mann_whitney(0.0, 20, 30) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("n0", "n1", "shift"), [(40, 40, 1.0), (150, 15, 1.5)])
def test_the_interval_of_auc_holds_the_true_one_in_about_95_of_100_samples(n0, n1, shift):
    """Of two normal distributions, a unit wide and ``shift`` apart, it is Phi(shift / sqrt(2))."""
    rng, true = np.random.default_rng(0), norm.cdf(shift / math.sqrt(2))
    labels = np.repeat([0, 1], [n0, n1])
    held = 0
    for _ in range(1000):
        low, high = mann_whitney(auc(rng.standard_normal(n0 + n1) + shift * labels, labels), n0, n1)
        held += low <= true <= high
    assert 925 <= held <= 985


def test_bootstrap_samples_that_are_all_alike_give_no_interval():
    assert percentile(np.ones(1000)) is None
    assert percentile(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))
