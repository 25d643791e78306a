"""Choosing l2: which values are tried, and how folds are drawn."""

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.runs.penalty import Path, draw_folds, l2_grid, l2_values, search_l2
from backprop_cli.solvers.observer import Observer
from tests.make import dataset, split


def config(**training):
    """Return a config of which data files are never read."""
    lines = [f"training: {{solver: lbfgs, {', '.join(f'{k}: {v}' for k, v in training.items())}}}"]
    data = "data: {format: npy, path: none.npz, stratified: true}\ncompute: {threads: 1}"
    return check_config("\n".join([data, *lines]), "test")


def noisy(n, d=5, noise=2.0, seed=0):
    """Return n examples of two classes that overlap."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    return split(noise * rng.standard_normal((n, d)) + labels[:, None], labels)


@pytest.mark.parametrize(("d", "largest"), [(1, 1), (10, 10), (11, 100), (768, 1000)])
def test_the_grid_begins_where_the_penalty_decides(d, largest):
    grid = l2_grid(d)
    assert grid[0] == largest
    assert grid[-1] == 1e-8
    np.testing.assert_allclose(np.array(grid[:-1]) / grid[1:], np.sqrt(10), rtol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_a_variance_that_is_not_finite_leaves_the_grid_alone(bad):
    """Training refuses such features; until then nothing may fail."""
    data = noisy(40)
    data.features[3, 2] = bad
    standardize = {"data": config().data.model_copy(update={"standardize": "none"})}
    assert l2_values(config().model_copy(update=standardize), data) == l2_grid(5)


def test_the_path_ends_when_validation_has_turned_worse():
    """Forty examples of thirty features of noise: the weaker the penalty, the worse."""
    data = dataset(noisy(40, 30, seed=1), noisy(400, 30, seed=2))
    found = search_l2(config(), data, Path(l2_values(config(), data.train)), Observer())
    losses = [candidate.validation_loss for candidate in found]
    figures = [candidate.validation_accuracy for candidate in found]
    assert [c.settings["l2"] for c in found] == l2_grid(30)[: len(found)]
    assert len(found) < len(l2_grid(30))
    latest = max(np.argmin(losses), np.argmax(figures))
    assert len(found) - 1 - latest == 3


def test_the_path_ends_where_the_training_examples_are_separated():
    data = dataset(noisy(60, noise=0.01), noisy(60, noise=0.01))
    found = search_l2(config(), data, Path(l2_values(config(), data.train)), Observer())
    losses = [candidate.history[-1].train_loss for candidate in found]
    assert losses[-1] < 1e-3 < losses[-2]


def test_the_path_ends_where_the_penalty_is_next_to_nothing():
    """Validated on what it is trained on, a weaker penalty is always better."""
    data = dataset(noisy(400), noisy(400))
    found = search_l2(config(), data, Path(l2_values(config(), data.train)), Observer())
    costs = [candidate.history[-1].train_cost for candidate in found]
    losses = [candidate.history[-1].train_loss for candidate in found]
    shares = [1 - loss / cost for loss, cost in zip(losses, costs, strict=True)]
    assert shares[-1] < 1e-5 < shares[-2]


def test_mini_batch_descent_trains_the_whole_grid():
    settings = config().model_copy(
        update={"training": config().training.model_copy(update={"solver": "sgd", "epochs": 2})}
    )
    data = dataset(noisy(40), noisy(40))
    found = search_l2(settings, data, Path(l2_grid(5)), Observer())
    assert [c.settings["l2"] for c in found if not c.diverged][-1] == 1e-8


def test_folds_are_parts_of_the_split_with_its_shares_of_classes():
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    rows = np.arange(1, 100)
    folds = draw_folds(config(), split(np.zeros((100, 1)), labels, rows), 5, None)
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), rows)
    assert sorted(map(len, folds)) == [19, 20, 20, 20, 20]
    counts = np.array([np.bincount(labels[fold]) for fold in folds])
    assert (np.abs(counts - [10, 6, 4]) <= 1).all()


def test_groups_are_in_one_fold_each():
    groups = np.arange(60) // 4
    folds = draw_folds(config(), split(np.zeros((60, 1))), 3, groups)
    own = [set(groups[fold]) for fold in folds]
    assert sum(map(len, own)) == len(set.union(*own)) == 15
    with pytest.raises(DataError, match="--folds 16: expected as many groups or more, found 15"):
        draw_folds(config(), split(np.zeros((60, 1))), 16, groups)


def test_more_folds_than_examples():
    with pytest.raises(DataError, match="--folds 5: expected as many examples or more, found 4"):
        draw_folds(config(), split(np.zeros((4, 1))), 5, None)
