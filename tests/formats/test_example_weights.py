"""Files of a weight per training example."""

import numpy as np
import pytest

from tests.formats.broken import load, refused

N = 8


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.arange(N)[:, None], y=np.arange(N) % 2)
    return tmp_path


def data(folder, weights, more=", test: 0, validation: 0"):
    """Return a data section; ``weights`` is an array, or the text of a file."""
    name = "w.txt" if isinstance(weights, str) else "w.npy"
    if isinstance(weights, str):
        (folder / name).write_text(weights)
    else:
        np.save(folder / name, weights)
    return f"format: npy, path: '{folder}/d.npz', weights: '{folder}/{name}'{more}"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (np.arange(8), np.arange(8.0)),
        (np.arange(8, dtype=">f4")[:, None] / 4, np.arange(8) / 4),
        (np.arange(8) % 2 == 0, [1, 0] * 4),
        ("1\n0.5\n2e-3\n3\n0\n0.0\n7.25\n1\n", [1, 0.5, 0.002, 3, 0, 0, 7.25, 1]),
    ],
)
def test_weights(folder, weights, expected):
    found = load(data(folder, weights))
    np.testing.assert_array_equal(found.train.source.example_weights, expected)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones(7), ["7 weights for 8 training examples"]),
        (np.where(np.arange(8) == 3, -1, 1), ["row 3", "is -1"]),
        (np.where(np.arange(8) == 3, np.nan, 1), ["row 3", "is nan"]),
        (np.where(np.arange(8) == 3, np.inf, 1), ["row 3", "is inf"]),
        (np.where(np.arange(8) == 3, 1e39, 1), ["row 3", "1e+39"]),
        (np.where(np.arange(8) == 3, 1e-40, 1), ["row 3", "1e-40"]),
        (np.ones((8, 2)), ["8 x 2"]),
        ("heavy\n" * 8, ["row 0", "'heavy'"]),
    ],
)
def test_weights_that_are_refused(folder, weights, words):
    said = refused(data(folder, weights), *words)
    assert said.startswith(f"{folder}/w.")


def test_no_training_example_counts(folder):
    refused(data(folder, np.zeros(8)), "data.weights", "weight 0")
    np.save(folder / "r.npy", [0, 1])
    more = f", train_rows: '{folder}/r.npy', test: 0, validation: 0"
    refused(data(folder, np.arange(8) > 1, more), "data.weights", "weight 0")


def test_files_of_other_parts_have_none(folder):
    np.savez(folder / "v.npz", x=[[1]], y=[1])
    found = load(data(folder, np.ones(8), f", validation: '{folder}/v.npz', test: 0"))
    assert found.validation.source.example_weights is None
