"""Figures of an evaluation, by hand, and how much memory many classes take."""

import json
import tracemalloc

import numpy as np

from backprop_cli.evaluation.answers import Answers
from backprop_cli.evaluation.counts import Counts
from backprop_cli.evaluation.metrics import Evaluation, evaluate_model
from backprop_cli.jsontext import to_json
from backprop_cli.model import LinearModel
from backprop_cli.sources import Standardization
from tests.make import split


def test_figures_by_hand():
    """True classes 0 0 0 1 1 2, decided 0 0 1 1 0 0; class 3 neither occurs nor is decided."""
    labels, decisions = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    evaluation = Evaluation(1.5, Answers(labels, 4, decisions), ("a", "b", "c", "d"))
    confusion = [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert evaluation.counts.dense().tolist() == confusion
    assert evaluation.accuracy == 3 / 6
    assert [row.precision for row in evaluation.classes] == [2 / 4, 1 / 2, None, None]
    assert [row.recall for row in evaluation.classes] == [2 / 3, 1 / 2, 0.0, None]
    found = evaluation.to_mapping()
    assert found["examples"] == 6
    assert found["classes"][2] == {"name": "c", "precision": None, "recall": 0.0, "examples": 1}
    assert found["confusion"] == confusion
    assert found["balanced_accuracy"] == np.mean([2 / 3, 1 / 2, 0])
    np.testing.assert_allclose(found["macro_f1"], np.mean([2 * 2 / (3 + 4), 2 * 1 / (2 + 2), 0]))
    assert set(found["intervals"]) == {"accuracy", "balanced_accuracy", "macro_f1"}


def test_the_most_frequent_mistakes():
    labels, decisions = np.array([0, 0, 2, 2, 2, 1]), np.array([1, 0, 0, 0, 2, 1])
    counts = Counts.of(labels, decisions, 3)
    assert counts.most_frequent_mistakes(5) == [(2, 0, 2), (0, 1, 1)]
    assert counts.most_frequent_mistakes(1) == [(2, 0, 2)]


def test_twenty_thousand_classes_need_no_matrix():
    """20,000 x 20,000 counts would take 3.2 GB, the scores of all examples 480 MB."""
    C, n, d = 20_000, 6_000, 2
    rng = np.random.default_rng(0)
    model = LinearModel(
        rng.standard_normal((C, d), np.float32), np.zeros(C, np.float32),
        Standardization(np.zeros(d), np.ones(d)), tuple(map(str, range(C))), None,
        "softmax_cross_entropy",
    )  # fmt: skip
    labels = rng.integers(C, size=n)
    # Long in the direction of the true class's weights, so that it is often decided.
    examples = split(50 * model.weights[labels] + rng.standard_normal((n, d), np.float32), labels)
    tracemalloc.start()
    try:
        found = evaluate_model(model, examples)
        mapping = json.loads(to_json(found.to_mapping()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6
    pairs = np.array(mapping["confusion_pairs"])
    assert "confusion" not in mapping
    assert pairs[:, 2].sum() == n
    assert pairs[pairs[:, 0] == pairs[:, 1], 2].sum() == round(n * mapping["accuracy"])
    assert mapping["intervals"]["macro_f1"] is None
    assert mapping["top_5_accuracy"] >= mapping["accuracy"]
