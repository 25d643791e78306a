"""`explain --examples`: matrices and loop, against NumPy and SciPy."""

import json

import numpy as np
import pytest
from scipy.special import softmax

from tests.explain import test_outputs
from tests.explain.test_outputs import CASES, Reader, problem

explain = test_outputs.explain


@pytest.mark.parametrize("name", ["softmax", "smoothed", "weighted"])
def test_the_matrices(explain, name):
    status, out, err = explain(name, "--examples", 5, "--example", 2, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    each = [problem(name, i) for i in range(2, 7)]
    X = np.stack([p.rows[0] for p in each], axis=1)
    Y = np.stack([p.Y[:, 0] for p in each], axis=1)
    v = np.array([p.example_weights[0] for p in each])
    S = each[0].W @ X + each[0].b[:, None]
    G = v * (softmax(S, axis=0) - Y)
    expected = {"X": X, "S": S, "P": softmax(S, axis=0), "Y": Y, "G": G}
    for letter, matrix in expected.items():
        np.testing.assert_allclose(found["matrices"][letter], matrix, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["dL_dW"], G @ X.T / 5, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["dL_db"], G.mean(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        found["dJ_dW"], G @ X.T / 5 + 2 * each[0].l2 * each[0].W, rtol=1e-9, atol=1e-12
    )
    assert found["largest_difference"] < 1e-14
    assert [step["example"] for step in found["loop"]] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", CASES)
def test_the_text_fits(explain, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    status, text, err = explain(name, "--examples", 8)
    assert (status, err) == (0, "")
    assert max(map(len, text.splitlines())) <= columns
    assert "G Xᵀ / n" in text


@pytest.mark.parametrize("name", CASES)
def test_the_page_has_a_step_per_example(explain, name, tmp_path):
    assert explain(name, "--examples", 8, "--html", tmp_path / "p.html")[0] == 0
    content = (tmp_path / "p.html").read_text("utf-8")
    reader = Reader()
    reader.feed(content)
    assert reader.open == []
    l2 = "l2" in CASES[name][1]
    assert content.count('<section class="step') == 8 + 1 + l2


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--examples", 8, "--example", 199), "has 200 examples"),
        (("--examples", 0), "0 is not in the range"),
        (("--examples", 3, "--dot"), "--dot is for a single example"),
    ],
)
def test_mistakes(explain, args, words):
    status, out, err = explain("softmax", *args)
    assert (status, out) == (2, "")
    assert words in err
