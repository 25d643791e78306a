"""The lecture's three decision functions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from backprop_cli.engine import decide, probabilities
from backprop_cli.engine.decisions import decide_by_score, decide_by_sign


def test_known_decisions():
    scores = np.array([[1.0, -1.0, 0.0], [0.5, 2.0, 0.0], [0.0, 3.0, -1.0]])
    assert decide_by_score(scores).tolist() == [0, 2, 0]  # of equal scores the first
    assert decide_by_sign(np.array([[-2.0, 0.0, 1e-9]])).tolist() == [0, 0, 1]
    assert decide(scores[None]).tolist() == [[0, 2, 0]]
    assert decide(np.array([[[-2.0, 3.0]]])).tolist() == [[0, 1]]


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_probability_and_score_decide_alike(seed, C):
    scores = 3 * np.random.default_rng(seed).standard_normal((C, 20))
    P = probabilities(scores)
    np.testing.assert_allclose(P, softmax(scores, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(P.argmax(axis=0), decide(scores))


def test_a_single_score_is_a_logistic_probability():
    s = np.array([[-30.0, -1.0, 0.0, 2.5]])
    P = probabilities(s)
    np.testing.assert_allclose(P[1], expit(s[0]), rtol=1e-12)
    np.testing.assert_array_equal(P.argmax(axis=0), decide(s))
    np.testing.assert_array_equal(decide_by_sign(s), decide(s))
