"""Figures of an evaluation, by hand."""

import numpy as np

from backprop_cli.evaluation.metrics import Evaluation, confusion_matrix


def test_figures_by_hand():
    """True classes 0 0 0 1 1 2, decided 0 0 1 1 0 0; class 3 neither occurs nor is decided."""
    labels, decisions = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 0])
    confusion = confusion_matrix(labels, decisions, 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    evaluation = Evaluation(1.5, confusion, ("a", "b", "c", "d"))
    assert evaluation.accuracy == 3 / 6
    assert evaluation.precision() == [2 / 4, 1 / 2, None, None]
    assert evaluation.recall() == [2 / 3, 1 / 2, 0.0, None]
    found = evaluation.to_mapping()
    assert found["examples"] == 6
    assert found["classes"][2] == {"name": "c", "precision": None, "recall": 0.0, "examples": 1}
