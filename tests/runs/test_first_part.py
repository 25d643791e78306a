"""Choosing l2 on a part of the examples first, where a pass over all of them has much work."""

import numpy as np
import pytest

from backprop_cli.runs import first_part
from backprop_cli.runs.first_part import Comparison, choose_l2
from backprop_cli.runs.penalty import cross_validate, l2_grid
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import Split
from tests.make import dataset, split, stored_source
from tests.runs.test_penalty import config

N, D, CLASSES = 4000, 20, 4


@pytest.fixture
def much(monkeypatch):
    """Let a pass over 4000 examples have too much work, and a tenth of them be a part."""
    work = N * D * (CLASSES + first_part._READING)
    monkeypatch.setattr(first_part, "_MAX_WORK", work - 1)
    monkeypatch.setattr(first_part, "_PART_WORK", work / 10)
    monkeypatch.setattr(first_part, "_MIN_EXAMPLES", 0)


def examples(n, seed, noise=4.0):
    """Return overlapping classes, the first of which is half of all."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.zeros(n // 2, int), np.arange(n - n // 2) % (CLASSES - 1) + 1])
    centres = np.random.default_rng(9).standard_normal((CLASSES, D))
    return (centres[labels] + noise * rng.standard_normal((n, D))).astype(np.float32), labels


def searched(data, folds=None, groups=None):
    return choose_l2(config(), data, Comparison(folds, groups), None, Observer())


def test_a_search_that_is_short_is_on_all_examples():
    found = searched(dataset(split(*examples(300, 0)), split(*examples(300, 1))))
    assert found.first_part is None
    assert max(c.settings["l2"] for c in found.ranked) == l2_grid(D)[0]


def test_the_choice_is_that_of_a_search_on_all_examples(much, monkeypatch):
    """Ten times the examples: the best l2 is between a tenth of that on the part, and that."""
    data = dataset(split(*examples(N, 1, 2.0)), split(*examples(8000, 101, 2.0)))
    found = searched(data)
    part, tried = found.first_part, [c.settings["l2"] for c in found.ranked]
    assert (part.n_examples, part.n_all) == (N // 10, N)
    assert part.l2 / 40 < min(tried)
    assert max(tried) < part.l2 * 4
    monkeypatch.setattr(first_part, "_MAX_WORK", np.inf)
    whole = searched(data)
    assert len(tried) < len(whole.ranked)
    best = whole.ranked[0]
    own = next(c for c in whole.ranked if c.settings == found.ranked[0].settings)
    error = np.sqrt(best.validation_accuracy * (1 - best.validation_accuracy) / 8000)
    assert best.validation_accuracy - own.validation_accuracy < error / 2
    values = f"from {max(tried):g} to {min(tried):g}"
    assert values in part.note(tried)


@pytest.mark.parametrize(("noise", "on_part"), [(16.0, 2.0), (1.0, 30.0)])
def test_the_search_on_all_goes_on_beyond_the_values_near_the_part_s_best(
    much, monkeypatch, noise, on_part
):
    """The part has other noise than all examples have: its best l2 is far off."""
    data = dataset(split(*examples(N, 1, noise)), split(*examples(N, 101, noise)))
    other = dataset(split(*examples(400, 2, on_part)), split(*examples(400, 102, on_part)))
    with monkeypatch.context() as patch:
        patch.setattr(first_part, "_MAX_WORK", np.inf)
        whole = searched(data).ranked[0].settings["l2"]
    monkeypatch.setattr(first_part, "_part", lambda *args: (other, args[-1]))
    found = searched(data)
    assert found.ranked[0].settings["l2"] == whole


@pytest.mark.parametrize("in_files", [False, True])
def test_folds_of_a_part(much, tmp_path, monkeypatch, in_files):
    """The groups go with their examples, whether the part has the rows of the file or its own."""
    features, labels = examples(N, 0)
    groups = np.arange(N) // 2
    features[:, 0] = groups  # what tells the group of an example
    train = split(features, labels)
    if in_files:
        source = stored_source(tmp_path, features, labels, 1_000_000)
        train = Split(source, np.arange(N))
    seen = []

    def watch(config, data, path, n_folds, groups, observer):
        seen.append((data.train, groups))
        return cross_validate(config, data, path, n_folds, groups, observer)

    monkeypatch.setattr(first_part, "cross_validate", watch)
    assert searched(dataset(train), 3, groups).first_part.n_examples == N // 10
    (part, own), (whole, _), *_ = seen
    assert (len(part), len(whole)) == (N // 10, N)
    np.testing.assert_array_equal(np.sort(np.bincount(part.own_labels())), [66, 67, 67, 200])
    np.testing.assert_array_equal(own[part.rows], part.own_features()[:, 0])
    assert isinstance(part.features, np.ndarray)


@pytest.mark.parametrize(("rows", "n_part"), [(800, 200), (40, None)])
def test_a_part_fits_into_the_memory_for_features(much, tmp_path, rows, n_part):
    """A quarter: half is for blocks, a quarter for validation. Ten examples choose nothing."""
    features, labels = examples(N, 0)
    train = Split(stored_source(tmp_path, features, labels, rows * D * 4), np.arange(N))
    part = searched(dataset(train, split(*examples(N, 1)))).first_part
    assert (part and part.n_examples) == n_part


def test_what_is_printed(much, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(first_part, "_MAX_WORK", 0)
    np.savez("both.npz", **dict(zip("xy", examples(1000, 0), strict=True)))
    status, out, _ = run("probe", "both.npz")
    assert status == 0
    assert "note        l2 was looked for on " in out
    assert " of 600 training examples, where " in out
