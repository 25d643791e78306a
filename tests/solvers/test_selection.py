"""Which epoch is kept of a model, and when it stops."""

import numpy as np

from backprop_cli.solvers.selection import Selection


def test_best_epoch_is_the_first_of_the_best_and_patience_counts_from_it():
    selection = Selection("best", patience=2)
    figures = [0.3, 0.5, 0.5, 0.4]
    for epoch, figure in enumerate(figures, 1):
        assert not selection.stopped
        selection.update(epoch, figure, np.full((2, 2), float(epoch)), np.zeros(2))
    assert selection.stopped
    assert selection.kept.epoch == 2
    assert selection.kept.W[0, 0] == 2.0


def test_keep_last_and_no_validation():
    for selection, figures in (
        (Selection("last", None), [0.9, 0.1]),
        (Selection("best", None), [None, None]),
    ):
        for epoch, figure in enumerate(figures, 1):
            selection.update(epoch, figure, np.zeros((2, 2)), np.zeros(2))
        assert selection.kept.epoch == 2


def test_what_is_kept_does_not_move_with_the_weights():
    selection, W = Selection("best", None), np.ones((2, 2))
    selection.update(1, 0.5, W, np.zeros(2))
    W += 1
    np.testing.assert_array_equal(selection.kept.W, 1)
