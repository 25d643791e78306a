"""Which epoch is kept of a model, and when it stops."""

import numpy as np
import pytest

from backprop_cli.solvers.selection import Selection


@pytest.mark.parametrize(
    ("standings", "best"),
    [
        ([(0.3, -1.0), (0.5, -1.0), (0.5, -1.0), (0.4, -0.1)], 2),  # of equal ones the first
        ([(0.5, -3.0), (0.5, -2.0), (0.5, -1.0), (0.5, -1.5), (0.4, -0.5)], 3),  # of lower loss
        ([(-2.0, -2.0), (-1.0, -1.0), (-1.0, -1.0), (-3.0, -3.0)], 2),  # by loss
    ],
)
def test_the_best_epoch_has_the_best_figure_then_the_lowest_loss(standings, best):
    """Patience counts from it: a lower loss at the same figure is progress."""
    selection = Selection("best", patience=2)
    for epoch, standing in enumerate(standings, 1):
        assert not selection.stopped
        selection.update(epoch, standing, np.full((2, 2), float(epoch)), np.zeros(2))
    assert selection.stopped
    assert selection.kept.epoch == best
    assert selection.kept.W[0, 0] == best
    assert selection.best == standings[best - 1]


def test_keep_last_and_no_validation():
    for selection, standings in (
        (Selection("last", None), [(0.9, -0.1), (0.1, -0.9)]),
        (Selection("best", None), [None, None]),
    ):
        for epoch, standing in enumerate(standings, 1):
            selection.update(epoch, standing, np.zeros((2, 2)), np.zeros(2))
        assert selection.kept.epoch == 2


def test_what_is_kept_does_not_move_with_the_weights():
    selection, W = Selection("best", None), np.ones((2, 2))
    selection.update(1, (0.5, -1.0), W, np.zeros(2))
    W += 1
    np.testing.assert_array_equal(selection.kept.W, 1)
