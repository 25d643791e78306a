"""Splits that files of row numbers name."""

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.config.paths import with_absolute_paths
from tests.formats.broken import load, refused

N = 12


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.arange(N)[:, None], y=np.arange(N) % 2)
    return tmp_path


def written(folder, **rows):
    """Return config keys for rows, each an array or the text of a file."""
    section = ""
    for key, value in rows.items():
        if isinstance(value, str):
            (folder / f"{key}.txt").write_text(value)
            section += f", {key}: '{folder}/{key}.txt'"
        else:
            np.save(folder / f"{key}.npy", value)
            section += f", {key}: '{folder}/{key}.npy'"
    return section


def data(folder, more="", **rows):
    return f"format: npy, path: '{folder}/d.npz'{more}" + written(folder, **rows)


def rows_of(found):
    splits = (found.train, found.validation, found.test)
    return [None if split is None else split.rows.tolist() for split in splits]


def test_rows_of_each_split(folder):
    rest = [0, 1, 2, 4, 6, 8, 9]
    found = load(data(folder, validation_rows=[11, 3, 5], test_rows="10\n7\n"))
    assert rows_of(found) == [rest, [3, 5, 11], [7, 10]]
    found = load(data(folder, train_rows=[[8], [0]], validation_rows=[11, 3], test_rows="10\n7\n"))
    assert rows_of(found) == [[0, 8], [3, 11], [7, 10]]
    found = load(data(folder, ", validation: 0", test_rows=np.array([10, 7], "u1")))
    assert rows_of(found) == [[k for k in range(N) if k not in (7, 10)], None, [7, 10]]
    found = load(data(folder, ", limit: 3", validation_rows=[11, 3, 5], test_rows="10\n7\n"))
    assert len(found.train) == 3
    assert set(found.train.rows) < set(rest)


def test_parts_that_are_drawn_are_drawn_from_the_remaining_rows(folder):
    found = load(data(folder, ", validation: 0.25, test: 0", train_rows=np.arange(8)))
    train, validation, test = rows_of(found)
    assert sorted(train + validation) == list(range(8))
    assert (len(validation), test) == (2, None)
    found = load(data(folder, ", validation: 0.5", test_rows=[0, 1]))
    train, validation, test = rows_of(found)
    assert sorted(train + validation) == list(range(2, N))
    assert (len(validation), test) == (5, [0, 1])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"test_rows": [3, 12]}, ["test_rows.npy: row 1", "is 12", "from 0 to 11"]),
        ({"test_rows": [3, -1]}, ["test_rows.npy: row 1", "is -1"]),
        ({"test_rows": [3, 5, 3]}, ["test_rows.npy: row 3 occurs more than once"]),
        ({"test_rows": "3\n4\n3\n"}, ["test_rows.txt: row 3 occurs more than once"]),
        ({"test_rows": np.zeros(0, int)}, ["test_rows.npy", "found none"]),
        ({"test_rows": ""}, ["test_rows.txt", "found none"]),
        ({"test_rows": [0.5]}, ["test_rows.npy: row 0", "0.5", "integer"]),
        ({"test_rows": "one\n"}, ["test_rows.txt: row 0", "'one'", "integer"]),
        ({"test_rows": np.arange(N) > 5}, ["test_rows.npy", "booleans", "flatnonzero"]),
        ({"test_rows": np.eye(2, dtype=int)}, ["test_rows.npy", "2 x 2"]),
        ({"test_rows": [1, 2], "validation_rows": [2]}, ["row 2 is also in", "validation_rows"]),
        ({"test_rows": [1, 2], "train_rows": [1]}, ["test_rows.npy: row 1", "train_rows"]),
        ({"test_rows": np.arange(N)}, ["no row to train on"]),
    ],
)  # fmt: skip
def test_rows_that_are_refused(folder, rows, words):
    refused(data(folder, **rows), *words)


def test_rows_and_a_file_for_the_same_part(folder):
    np.savez(folder / "t.npz", x=[[1]], y=[0])
    more = f", test: '{folder}/t.npz'"
    refused(data(folder, more, test_rows=[1]), "data.test_rows", "data.test names a file")


def test_formats_with_a_test_file_of_their_own(cifar10, mnist):
    folder, content = cifar10
    (folder / "python" / "test_batch").unlink()  # it is replaced, so it is not read
    rows = written(mnist, validation_rows=[4, 9], test_rows=[0, 5])
    found = load(
        f"format: cifar10, path: '{folder}/python', train: [data_batch_1, data_batch_2]{rows}"
    )
    assert rows_of(found) == [[1, 2, 3, 6, 7, 8], [4, 9], [0, 5]]
    pixels = np.concatenate([content[f"data_batch_{k}"][0] for k in (1, 2)])
    np.testing.assert_array_equal(found.test.features[found.test.rows], pixels[[0, 5]])
    found = load(f"format: idx, path: '{mnist}', validation: 0" + written(mnist, test_rows=[2, 1]))
    assert rows_of(found) == [[0, 3, 4, 5], None, [1, 2]]
    rows = written(mnist, train_rows=np.arange(5), test_rows=[9])
    found = load("format: synthetic, examples: 10, size: 2, classes: 2, validation: 0" + rows)
    assert rows_of(found) == [[0, 1, 2, 3, 4], None, [9]]


def test_their_paths_are_absolute_in_the_config_of_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (
        "data: {format: npy, path: d.npz, test_rows: t.txt, train_rows: a/r.npy, groups: g.csv, "
        "weights: w.npy}"
    )
    found = with_absolute_paths(check_config(text, "t")).to_mapping()["data"]
    assert found["test_rows"] == str(tmp_path / "t.txt")
    assert found["train_rows"] == str(tmp_path / "a/r.npy")
    assert found["validation_rows"] is None
    assert found["groups"] == str(tmp_path / "g.csv")
    assert found["weights"] == str(tmp_path / "w.npy")
