"""Predictions against the formula of docs/run-directory.md, and files that do not fit."""

import csv
import json
import tracemalloc

import numpy as np
import pytest
from safetensors import safe_open
from scipy.special import softmax

from backprop_cli.evaluation.predictions import predicted_blocks
from backprop_cli.evaluation.reliability import reliability
from backprop_cli.evaluation.temperature import fit_temperature
from backprop_cli.model import LinearModel
from backprop_cli.reporting.tables import write_predictions_csv, write_scores_npz
from backprop_cli.sources import Standardization
from tests.command import call
from tests.make import split


def by_hand(run, x):
    """Return probabilities n x C as docs/run-directory.md has them."""
    with safe_open(run / "model.safetensors", "numpy") as f:
        W, b = f.get_tensor("weights"), f.get_tensor("bias")
        mean, std = f.get_tensor("feature_mean"), f.get_tensor("feature_std")
    scores = (x - mean) / std @ W.T + b
    if scores.shape[1] == 1:
        scores = np.concatenate([-scores / 2, scores / 2], axis=1)
    return softmax(scores, axis=1)


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["images", "two classes"])
def test_arrays_and_images_say_the_same(runs, tmp_path, capsys, pixels, kind):
    Image = pytest.importorskip("PIL.Image", reason="needs the extra: images")
    run = runs[kind]
    np.save(tmp_path / "x.npy", pixels)
    np.savez(tmp_path / "x.npz", x=pixels)
    names = [f"{tmp_path}/{k}.png" for k in range(3)]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(name)
    expected = by_hand(run, pixels.transpose(0, 3, 1, 2).reshape(3, -1))
    for inputs in (["x.npy"], ["x.npz"], names):
        capsys.readouterr()
        options = [word for name in inputs for word in ("--input", tmp_path / name)]
        assert call("predict", run, *options, "--json") == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        found = np.array([list(line["probabilities"].values()) for line in lines])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert [line["class"] for line in lines] == [str(k) for k in expected.argmax(axis=1)]
    assert call("predict", run, "--input", tmp_path / "x.npy") == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert f"{100 * expected[0].max():.2f} %" in first


def test_predictions_as_files(runs, tmp_path, pixels):
    run = runs["images"]
    np.save(tmp_path / "x.npy", pixels)
    expected = by_hand(run, pixels.transpose(0, 3, 1, 2).reshape(3, -1))
    for name in ("p.npy", "p.csv"):
        options = ("--input", tmp_path / "x.npy", "--output", tmp_path / name)
        assert call("predict", run, *options) == 0
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), expected, atol=1e-5)
    with (tmp_path / "p.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["example", "class", *map(str, range(5))]
    np.testing.assert_allclose(np.array([row[2:] for row in rows[1:]], float), expected, atol=1e-5)


def test_only_the_most_probable_classes(runs, tmp_path, capsys, pixels):
    run = runs["images"]
    np.save(tmp_path / "x.npy", pixels)
    expected = by_hand(run, pixels.transpose(0, 3, 1, 2).reshape(3, -1))
    best = np.argsort(-expected, axis=1)
    options = ("--input", tmp_path / "x.npy")

    assert call("predict", run, *options, "--top", 2, "--output", tmp_path / "p.csv") == 0
    with (tmp_path / "p.csv").open(newline="") as stream:
        head, *rows = csv.reader(stream)
    assert head == ["example", "class", "class_1", "probability_1", "class_2", "probability_2"]
    for row, classes, p in zip(rows, best, expected, strict=True):
        assert row[1:3] == [str(classes[0])] * 2
        assert row[4] == str(classes[1])
        np.testing.assert_allclose([float(row[3]), float(row[5])], p[classes[:2]], atol=1e-5)

    capsys.readouterr()
    assert call("predict", run, *options, "--top", 2, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(line["probabilities"]) for line in lines] == best[:, :2].astype(str).tolist()
    assert call("predict", run, *options, "--top", 1) == 0
    assert all(line.count("%") == 1 for line in capsys.readouterr().out.splitlines())
    assert call("predict", run, *options, "--top", 99) == 0  # of five classes
    assert all(line.count("%") == 5 for line in capsys.readouterr().out.splitlines())
    for wrong in (("--top", 0), ("--top", 2, "--output", tmp_path / "p.npy")):
        assert call("predict", run, *options, *wrong) == 2


def test_a_large_file_of_predictions_needs_little_memory(tmp_path):
    """20,000 examples of 50 classes are some 12 MB of CSV, and 4 MB of probabilities."""
    rng = np.random.default_rng(0)
    model = LinearModel(
        rng.standard_normal((50, 2), np.float32), np.zeros(50, np.float32),
        Standardization(np.zeros(2), np.ones(2)), tuple(map(str, range(50))), None,
        "softmax_cross_entropy",
    )  # fmt: skip
    examples = split(rng.standard_normal((20_000, 2), np.float32))
    names = ["x"] * 20_000
    tracemalloc.start()
    try:
        blocks = predicted_blocks(model, examples.source, examples.rows)
        write_predictions_csv(tmp_path / "p.csv", names, blocks, model.class_names, None)
        write_scores_npz(tmp_path / "s.npz", model, examples)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "p.csv").stat().st_size > 10e6
    assert (tmp_path / "s.npz").stat().st_size > 4e6
    assert peak < 6e6


def test_what_does_not_fit_is_one_line(runs, tmp_path, capsys, pixels):
    Image = pytest.importorskip("PIL.Image", reason="needs the extra: images")
    Image.fromarray(pixels[0][:4]).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    np.save(tmp_path / "wide.npy", np.zeros((2, 7)))
    np.save(tmp_path / "nan.npy", np.full((2, 192), np.nan))
    np.save(tmp_path / "huge.npy", np.full((2, 192), 1e39))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    for run, name, words in (
        ("images", "small.png", "expected an image of 8 x 8 pixels as the model has, found 8 x 4"),
        ("images", "broken.png", "not an image"),
        ("images", "wide.npy", "expected examples of 192 features as the model has, found 7"),
        ("images", "nan.npy", "features[0, 0] is nan, expected numbers that are finite in float32"),
        ("images", "huge.npy", "expected numbers that are finite in float32"),
        ("images", "text.npy", "expected real numbers"),
        ("images", "none.npy", "expected a file, found none"),
        ("features", "small.png", "the model takes plain features, not images"),
    ):
        capsys.readouterr()
        assert call("predict", runs[run], "--input", tmp_path / name) == 2
        err = capsys.readouterr().err
        assert err.startswith("Error: ")
        assert err.count("\n") == 1
        assert words in err
    assert call("predict", runs["images"], "--input", "x.npy", "--output", "p.txt") == 2


def test_reliability_by_hand():
    """0.9 twice, once right; 0.5 once, right: gaps |0.5 - 0.9| and |1 - 0.5|, 2 : 1."""
    found = reliability(np.array([0.9, 0.9, 0.5]), np.array([True, False, True]))
    assert found.error == pytest.approx((2 * 0.4 + 1 * 0.5) / 3, rel=1e-12)
    assert found.counts.sum() == 3
    edges = reliability(np.array([0.0, 1.0, 1 / 15]), np.ones(3, bool))
    assert edges.counts[0] == 2  # 1/15 belongs to the first of fifteen bins
    assert edges.counts[-1] == 1


def test_the_temperature_is_the_one_that_labels_were_drawn_at():
    """Labels are drawn from SoftMax(s / 3): the likeliest T is near 3, and no other is better."""
    rng = np.random.default_rng(0)
    S = 5 * rng.standard_normal((20_000, 4))
    P = softmax(S / 3, axis=1)
    labels = (P.cumsum(axis=1) < rng.random((len(P), 1))).sum(axis=1)

    def loss(T):
        return -np.log(softmax(S / T, axis=1)[np.arange(len(S)), labels]).mean()

    T = fit_temperature(S, labels)
    assert pytest.approx(3, rel=0.05) == T
    assert loss(T) <= min(loss(T * 0.999), loss(T * 1.001))


def test_data_is_not_written_over(runs, tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.standard_normal((60, 4)))
    np.save(tmp_path / "y.npy", np.arange(60) % 3)
    (tmp_path / "c.yaml").write_text(
        f"data: {{format: npy, path: '{tmp_path}/x.npy', labels: '{tmp_path}/y.npy'}}\n"
        f"training: {{epochs: 1}}\noutput: '{tmp_path}/run'\n"
    )
    assert call("train", "--config", tmp_path / "c.yaml") == 0
    np.save(tmp_path / "new.npy", rng.standard_normal((5, 4)))
    before = {path: path.read_bytes() for path in tmp_path.glob("*.npy")}
    for path in before:
        capsys.readouterr()
        args = ("predict", tmp_path / "run", "--input", tmp_path / "new.npy", "--output", path)
        assert call(*args) == 2
        assert f"{path}: holds data" in capsys.readouterr().err
        assert path.read_bytes() == before[path]
    assert call(*args[:-1], tmp_path / "out.npy") == 0
    assert call(*args[:-1], tmp_path / "out.npy") == 0  # its own output, once more


def test_calibrate_moves_probabilities_and_no_decision(runs, tmp_path, capsys, pixels):
    import shutil

    run = shutil.copytree(runs["images"], tmp_path / "run")
    np.save(tmp_path / "x.npy", pixels)

    def predicted():
        capsys.readouterr()
        assert call("predict", run, "--input", tmp_path / "x.npy", "--json") == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    before = predicted()
    capsys.readouterr()
    assert call("calibrate", run, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    after = predicted()
    T = told["temperature"]
    for old, new in zip(before, after, strict=True):
        logits = np.log(list(old["probabilities"].values()))
        np.testing.assert_allclose(
            list(new["probabilities"].values()), softmax(logits / T), rtol=1e-3, atol=1e-6
        )
        assert old["class"] == new["class"]
    with (run / "model.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 1]))
    capsys.readouterr()
    assert call("predict", run, "--input", tmp_path / "x.npy") == 2
    assert "fitted to another model" in capsys.readouterr().err
    (run / "calibration.json").write_text('{"temperature": "hot"}')
    assert call("predict", run, "--input", tmp_path / "x.npy") == 2
