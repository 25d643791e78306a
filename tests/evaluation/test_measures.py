"""Every measure against its definition, by loops."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from backprop_cli.engine import decide
from backprop_cli.errors import DataError
from backprop_cli.evaluation.answers import Answers, differences, ranks, taken
from backprop_cli.evaluation.counts import Counts
from backprop_cli.evaluation.measures import MEASURES, auc, refuse_unsuited, suited


def scores_and_labels(C, n=60, seed=0):
    """Return scores of few distinct values, so that many are equal, and labels without class 1."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(C, size=n)
    labels[labels == 1] = 0
    return rng.integers(-2, 3, (C, n)).astype(np.float64), labels


def answers_of(S, labels):
    C = max(2, len(S))
    fields = {measure.takes for measure in suited(C)}
    return Answers(labels, C, **{what: taken(what, S, labels) for what in fields})


def values(S, labels):
    answers = answers_of(S, labels)
    return {measure.name: measure.value(answers) for measure in suited(answers.n_classes)}


@pytest.mark.parametrize("C", [3, 7])
def test_measures_of_classes_are_their_definitions(C):
    S, labels = scores_and_labels(C)
    decided = [max(range(C), key=lambda k: (S[k, i], -k)) for i in range(len(labels))]
    right = [y == g for y, g in zip(labels, decided, strict=True)]
    recalls, f1s = [], []
    for k in range(C):
        tp = sum(y == g == k for y, g in zip(labels, decided, strict=True))
        fn = sum(y == k != g for y, g in zip(labels, decided, strict=True))
        fp = sum(g == k != y for y, g in zip(labels, decided, strict=True))
        if tp + fn:
            recalls.append(tp / (tp + fn))
        if tp + fn + fp:
            precision = tp / (tp + fp) if tp + fp else 0.0
            recall = tp / (tp + fn) if tp + fn else 0.0
            f1s.append(2 * precision * recall / (precision + recall) if precision + recall else 0)
    found = values(S, labels)
    assert len(recalls) == C - 1  # class 1 has no examples, but it is decided
    assert len(f1s) == C
    assert found["accuracy"] == pytest.approx(np.mean(right), rel=1e-14)
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls), rel=1e-14)
    assert found["macro_f1"] == pytest.approx(np.mean(f1s), rel=1e-14)
    assert ("top_5_accuracy" in found) == (C > 5)
    assert "auc" not in found


def test_top_5_takes_five_classes_in_the_order_in_which_they_would_be_decided():
    S, labels = scores_and_labels(9)
    hits = 0
    for i, label in enumerate(labels):
        left, chosen = S[:, i].copy(), []
        for _ in range(5):  # decide, take the class out, decide again
            chosen.append(int(decide(left[:, None])[0]))
            left[chosen[-1]] = -np.inf
        hits += label in chosen
    assert values(S, labels)["top_5_accuracy"] == hits / len(labels)


def test_equal_scores_do_not_flatter():
    """A model that says nothing has the accuracy of chance, top-5 too, not 100 %."""
    labels = np.arange(10).repeat(3)
    found = values(np.zeros((10, 30)), labels)
    assert found["accuracy"] == 0.1
    assert found["top_5_accuracy"] == 0.5


def test_ranks_of_a_stack_are_those_of_each_and_rank_0_is_a_right_decision():
    S = np.stack([scores_and_labels(6, seed=seed)[0] for seed in range(3)])
    labels = scores_and_labels(6)[1]
    found = ranks(S, labels)
    for own, scores in zip(found, S, strict=True):
        np.testing.assert_array_equal(own, ranks(scores, labels))
    np.testing.assert_array_equal(found == 0, decide(S) == labels)


def test_auc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    labels, d = rng.integers(2, size=80), rng.integers(-3, 4, 80).astype(np.float32)
    d[labels == 1] += 1
    pairs = [(a > b) + (a == b) / 2 for a in d[labels == 1] for b in d[labels == 0]]
    assert auc(d, labels) == pytest.approx(np.mean(pairs), rel=1e-14)
    U = mannwhitneyu(d[labels == 1], d[labels == 0]).statistic
    assert auc(d, labels) == pytest.approx(U / len(pairs), rel=1e-14)
    two = np.stack([-d / 2, d / 2])  # one score or two say the same
    assert values(two, labels) == values(d[None], labels)
    np.testing.assert_array_equal(differences(two), d)
    assert math.isnan(auc(d, np.ones(80, int)))
    assert auc(np.zeros(80), labels) == 0.5


def test_a_measure_that_is_not_defined_is_refused_before_training():
    labels = np.array([0, 1, 1])
    for name in ("loss", "accuracy", "balanced_accuracy", "macro_f1", "auc"):
        refuse_unsuited(name, labels, 2)
    for name, own, C, words in (
        ("auc", labels, 3, "auc needs two classes, found 3"),
        ("top_5_accuracy", labels, 5, "top_5_accuracy needs at least 6 classes, found 5"),
        ("auc", labels[1:], 2, "needs validation examples of both classes, found one"),
    ):
        with pytest.raises(DataError, match=words):
            refuse_unsuited(name, own, C)


def test_resampled_counts_are_those_of_examples_drawn_again():
    """Each mean is n times the share; each variance that of a binomial."""
    labels, decisions = np.array([0] * 50 + [1] * 30 + [2] * 20), np.arange(100) % 3
    counts = Counts.of(labels, decisions, 3)
    for found, once in zip(counts.resampled, counts.by_class, strict=True):
        assert found.shape == (1000, 3)
        variance = once * (1 - once / 100)
        assert (np.abs(found.mean(axis=0) - once) < 5 * np.sqrt(variance / 1000)).all()
        np.testing.assert_allclose(found.var(axis=0), variance, rtol=0.25)
    assert (counts.resampled.examples.sum(axis=1) == 100).all()
    assert (counts.resampled.decisions.sum(axis=1) == 100).all()


def test_intervals_surround_the_measures():
    rng = np.random.default_rng(0)
    S, labels = rng.standard_normal((8, 300)), rng.integers(8, size=300)
    S[labels, np.arange(300)] += 1
    for scores, own in ((S, labels), (S[:2], labels % 2)):
        answers = answers_of(scores, own)
        for measure in suited(len(scores)):
            low, high = measure.interval(answers)
            assert 0 <= low < measure.value(answers) < high <= 1, measure.name
    assert set(MEASURES) == {"accuracy", "top_5_accuracy", "balanced_accuracy", "macro_f1", "auc"}
