"""The range test, on a cost whose largest stable rate is known."""

import numpy as np
import pytest

from backprop_cli.solvers.rate_range import rate_range
from tests.make import dataset, descent, split


def test_the_loss_runs_away_where_the_theory_says():
    """Full batches of equal examples, large l2: steps multiply W by 1 - 2 eta l2 and diverge
    beyond eta = 1/l2."""
    rng = np.random.default_rng(0)
    x = 1e-3 * rng.standard_normal((64, 4))
    data = dataset(split(x))
    l2 = 50.0
    training = descent(
        data, l2=l2, batch_size=64, standardize="none", dtype="float64", initial_std=1.0
    )
    found = rate_range(training, 1e-4, 10.0, 400)
    assert found.runs_away is not None
    assert 1 / l2 < found.runs_away < 20 / l2
    assert found.lowest < found.runs_away
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 400


def test_the_steepest_rate_lies_before_the_lowest_and_trains():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 3
    x = rng.standard_normal((400, 6)) + 2 * np.eye(3, 6)[y]
    data = dataset(split(x, y), n_classes=3)
    found = rate_range(descent(data, batch_size=20), 1e-5, 10.0, 200)
    assert found.steepest <= found.lowest
    np.testing.assert_allclose(found.rates[1:] / found.rates[:-1], found.rates[1] / found.rates[0])
    assert found.smoothed.min() < 0.5 * found.losses[0]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_command(run, tmp_path, monkeypatch, columns):
    pytest.importorskip("matplotlib", reason="needs the extra: plot")
    monkeypatch.setenv("COLUMNS", str(columns))
    config = tmp_path / "c.yaml"
    config.write_text("data: {format: synthetic, examples: 300, size: 5, classes: 3}\n")
    picture = tmp_path / "rates.png"
    status, out, err = run("lr-range", "--config", config, "--output", picture)
    assert (status, err) == (0, "")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert max(map(len, out.splitlines()[:-1])) <= columns
    assert "training.learning_rate=" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--from", 1, "--to", 0.1), "--from must be less"),
        (("--from", 0), "range"),
        (("--output", "rates.pdf"), "ends in .png"),
    ],
)
def test_mistakes(run, tmp_path, args, words):
    config = tmp_path / "c.yaml"
    config.write_text("data: {format: synthetic, examples: 300, size: 5, classes: 3}\n")
    status, out, err = run("lr-range", "--config", config, *args)
    assert (status, out) == (2, "")
    assert words in err


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_loss_that_is_too_large_to_begin_with(run, tmp_path, more):
    config = tmp_path / "c.yaml"
    config.write_text(
        "data: {format: synthetic, examples: 300, size: 5, classes: 3}\n"
        "model: {initial_std: 1.0e+9}\n"
    )
    status, out, err = run("lr-range", "--config", config, *more)
    assert (status, out) == (3, "")
    assert err.startswith("Error: ")
    assert "initial_std" in err
