"""The scores that ``eval --output`` writes: the figures follow from them, and the splits."""

import csv
import json

import numpy as np
import pytest
from safetensors import safe_open
from scipy.special import log_softmax

from tests.command import call


@pytest.fixture
def npy_run(tmp_path):
    """Return the folder of a run on arrays, and the arrays; the classes have names."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    x = rng.standard_normal((200, 4)) + y[:, None]
    np.savez(tmp_path / "d.npz", x=x, y=y)
    (tmp_path / "c.yaml").write_text(
        f"data: {{format: npy, path: '{tmp_path}/d.npz', classes: [ä, 'b, c', d], test: 50, "
        f"validation: 30}}\ntraining: {{epochs: 2}}\noutput: '{tmp_path}/run'\n"
    )
    assert call("train", "--config", tmp_path / "c.yaml") == 0
    return tmp_path / "run", x, y


def evaluated(capsys, *args):
    capsys.readouterr()
    assert call("eval", *args, "--json") == 0
    captured = capsys.readouterr()
    assert "examples in" in captured.err
    return json.loads(captured.out)


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    return head, rows


def test_rows_recover_the_splits_and_scores_the_figures(npy_run, tmp_path, capsys):
    run, x, y = npy_run
    with safe_open(run / "model.safetensors", "numpy") as f:
        W, b = f.get_tensor("weights"), f.get_tensor("bias")
        mean, std = f.get_tensor("feature_mean"), f.get_tensor("feature_std")
    names, seen = ["ä", "b, c", "d"], []
    for name in ("train", "validation", "test"):
        found = evaluated(capsys, run, "--split", name, "--output", tmp_path / "s.csv")
        head, lines = read_csv(tmp_path / "s.csv")
        assert head == ["row", "label", "decision", "score_ä", "score_b, c", "score_d"]
        rows = [int(line[0]) for line in lines]
        scores = np.array([line[3:] for line in lines], float)
        np.testing.assert_allclose(scores, (x[rows] - mean) / std @ W.T + b, atol=1e-5)
        assert [line[1] for line in lines] == [names[k] for k in y[rows]]
        assert [line[2] for line in lines] == [names[k] for k in scores.argmax(axis=1)]
        assert np.mean(scores.argmax(axis=1) == y[rows]) == found["accuracy"]
        losses = -log_softmax(scores, axis=1)[np.arange(len(rows)), y[rows]]
        assert losses.mean() == pytest.approx(found["loss"], rel=1e-5)
        seen += rows

        evaluated(capsys, run, "--split", name, "--output", tmp_path / "s.npz")
        with np.load(tmp_path / "s.npz") as arrays:
            assert arrays["rows"].tolist() == rows
            assert arrays["labels"].tolist() == y[rows].tolist()
            assert arrays["decisions"].tolist() == scores.argmax(axis=1).tolist()
            assert arrays["class_names"].tolist() == names
            assert arrays["scores"].dtype == np.float32
            np.testing.assert_array_equal(arrays["scores"], scores.astype(np.float32))
    assert sorted(seen) == list(range(200))


def test_a_single_score_is_one_column(runs, tmp_path, capsys):
    found = evaluated(capsys, runs["two classes"], "--output", tmp_path / "s.csv")
    head, lines = read_csv(tmp_path / "s.csv")
    assert head == ["row", "label", "decision", "score"]
    assert all(line[2] == str(int(float(line[3]) > 0)) for line in lines)
    positive, negative = ([float(x[3]) for x in lines if x[1] == label] for label in "10")
    pairs = [(a > b) + (a == b) / 2 for a in positive for b in negative]
    assert found["auc"] == pytest.approx(np.mean(pairs), rel=1e-12)


def test_data_and_other_names_are_refused(npy_run, tmp_path, capsys):
    run, x, y = npy_run
    np.savez(tmp_path / "other.npz", x=x, y=y)
    other = ("--set", f"data.path={tmp_path}/other.npz")
    for path, more, words in (
        (tmp_path / "d.npz", (), "holds data"),
        (tmp_path / "d.npz", other, "holds data"),
        (tmp_path / "other.npz", other, "holds data"),
        (tmp_path / "s.txt", (), "expected a name that ends in .csv or .npz"),
        (tmp_path / "no" / "s.csv", (), "cannot write"),
        (tmp_path / "s.csv", ("--verify",), "--verify makes none"),
    ):
        before = path.read_bytes() if path.exists() else None
        capsys.readouterr()
        assert call("eval", run, "--output", path, *more) == 2
        captured = capsys.readouterr()
        assert words in captured.err
        assert captured.out == ""
        assert before == (path.read_bytes() if path.exists() else None)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_eval_prints_measures_with_intervals(runs, capsys):
    run = runs["many classes"]
    capsys.readouterr()
    assert call("eval", run, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert call("eval", run) == 0
    lines = capsys.readouterr().out.splitlines()
    for title in ("accuracy", "top-5 accuracy", "balanced accuracy", "macro F1"):
        key = title.lower().replace("-", "_").replace(" ", "_")
        low, high = found["intervals"][key]
        text = f"{title:<19}{100 * found[key]:.2f} % ({100 * low:.2f} to {100 * high:.2f})"
        assert text in lines
    assert not any(line.startswith("AUC") for line in lines)
