"""Held-out parts that are drawn by whole groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_cli.formats.splits import draw_groups
from tests.formats.broken import SETTINGS, load, refused

SIZES = st.lists(st.integers(1, 12), min_size=2, max_size=20)


def drawn(group_sizes, size, labels=None, seed=0, *, stratified=False):
    """Draw from groups of these sizes; return the groups, and the rows that were drawn and left."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(group_sizes)), group_sizes))
    labels = rng.integers(0, 3, len(groups)) if labels is None else labels
    rows = np.arange(len(groups))
    held, rest = draw_groups(rows, labels, groups, size, rng, stratified=stratified)
    return groups, held, rest


def test_no_group_is_on_both_sides_and_the_size_is_near():
    @SETTINGS
    @given(SIZES, st.floats(0.01, 0.99), st.integers(0, 99), st.booleans())
    def check(group_sizes, share, seed, stratified):
        n = sum(group_sizes)
        size = min(max(1, round(share * n)), n - 1)
        groups, held, rest = drawn(group_sizes, size, seed=seed, stratified=stratified)
        assert sorted([*held, *rest]) == list(range(n))
        assert not set(groups[held]) & set(groups[rest])
        assert len(held)
        assert len(rest)
        if not stratified and len(set(groups[held])) > 1 and len(set(groups[rest])) > 1:
            smallest = min(group_sizes[group] for group in set(groups[rest]))
            assert abs(len(held) - size) <= smallest / 2

    check()


def test_groups_of_one_example_give_the_size_exactly():
    for size in (1, 7, 29):
        _, held, _ = drawn([1] * 30, size)
        assert len(held) == size


def test_stratified_groups_of_one_class_keep_the_proportions():
    """30 groups of two examples: 40 of class 0, 20 of class 1; a fifth of each."""
    rows = np.arange(60)
    labels, groups = (rows >= 40).astype(int), rows // 2
    held, _ = draw_groups(rows, labels, groups, 12, np.random.default_rng(0), stratified=True)
    assert np.bincount(labels[held]).tolist() == [8, 4]


def test_one_large_group_is_not_held_out_for_a_small_part():
    for seed in range(5):
        groups, held, _ = drawn([50, 5, 5, 5], 5, seed=seed)
        assert len(set(groups[held])) == 1
        assert len(held) == 5


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.standard_normal((60, 2)), y=np.arange(60) % 2)
    patients = rng.permutation(np.repeat(np.arange(15), 4))
    np.save(tmp_path / "g.npy", patients)
    (tmp_path / "g.txt").write_text("".join(f"patient {k}\n" for k in patients))
    rows = "".join(f"{row},patient {k}\n" for row, k in enumerate(patients))
    (tmp_path / "g.csv").write_text("row,patient\n" + rows)
    return tmp_path


def data(folder, file="g.npy", more=""):
    return f"format: npy, path: '{folder}/d.npz', groups: '{folder}/{file}'{more}"


@pytest.mark.parametrize(
    ("file", "more"),
    [("g.npy", ""), ("g.txt", ", stratified: true"), ("g.csv", ", groups_column: patient")],
)
def test_groups_of_a_file(folder, file, more):
    patients = np.load(folder / "g.npy")
    found = load(data(folder, file, f", validation: 12, test: 0.2{more}"))
    parts = [set(patients[split.rows]) for split in found.splits()]
    assert [len(split) for split in found.splits()] == [36, 12, 12]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 15
    again = load(data(folder, file, f", validation: 4, test: 0.2{more}"))
    np.testing.assert_array_equal(again.test.rows, found.test.rows)


def test_the_seed_decides_which_groups(folder):
    tests = [load(data(folder, more=f", seed: {seed}")).test.rows.tolist() for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_groups_that_are_refused(folder):
    np.savez(folder / "t.npz", x=np.zeros((2, 2)), y=[0, 1])
    for key in ("validation", "test"):
        more = f", {key}: '{folder}/t.npz'"
        refused(data(folder, more=more), "data.groups", f"the {key} file", f"data.{key}_rows")
    np.save(folder / "g.npy", np.arange(59))
    refused(data(folder), "g.npy: 59 groups for 60 training examples")
    np.save(folder / "g.npy", np.zeros(60))
    refused(data(folder), "data.test", "g.npy", "single group")
    refused(data(folder, "g.csv"), "data.groups_column", "row, patient")
    refused(data(folder, more=", groups_column: patient"), "data.groups_column", ".csv")


def test_named_rows_do_not_divide_a_group(folder):
    patients = np.load(folder / "g.npy")
    np.save(folder / "rows.npy", np.flatnonzero(patients == 3)[:2])
    more = f", test_rows: '{folder}/rows.npy', validation: 0"
    refused(data(folder, more=more), "g.npy: group 3 is in train and in test", "whole groups")
    np.save(folder / "rows.npy", np.flatnonzero(patients == 3))
    assert len(load(data(folder, more=more)).test) == 4
