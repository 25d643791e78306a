"""`explain --expression` and `--graph`: every form, the numbers, and mistakes."""

import json

import numpy as np
import pytest

from tests.explain.test_outputs import Reader

NETWORK = (
    "--expression", "softmax(W2 relu(W1 x + b1) + b2)", "--at", "W1=4x3", "--at", "b1=4x",
    "--at", "x=[0.5,-1,2]", "--at", "W2=2x4", "--at", "b2=[0,0.1]",
)  # fmt: skip
CASES = {
    "sine": ("--expression", "sin(x^2)", "--at", "x=0.7"),
    "network": NETWORK,
    "several children": ("--expression", "x sin(x) + cos(x)", "--at", "x=0.3"),
    "loss": (
        "--expression", "cross_entropy(softmax(W x + b), y) + lambda sum_of_squares(W)",
        "--at", "W=3x4", "--at", "b=3x", "--at", "x=4x", "--at", "y=[0,1,0]", "--at", "lambda=0.1",
    ),
    "SVM": (
        "--expression", "multiclass_svm(W x, y)", "--at", "W=[[1,2],[0,1],[2,2]]",
        "--at", "x=[1,1]", "--at", "y=[0,1,0]",
    ),
    "a chain": ("--expression", "w (W3 (W2 (W1 x)))", "--at", "w=1x6", "--at", "W3=6x6",
                "--at", "W2=6x6", "--at", "W1=6x50", "--at", "x=50x"),
}  # fmt: skip


def test_lambda_may_be_given_as_it_is_written(run):
    texts = [run("explain", "--expression", "λ x^2", "--at", "x=3", "--at", own) for own in
             ("λ=2", "lambda=2")]  # fmt: skip
    assert texts[0] == texts[1]
    assert texts[0][0] == 0


@pytest.mark.parametrize("name", CASES)
def test_every_form_is_there(run, name, tmp_path):
    status, text, err = run("explain", *CASES[name])
    assert (status, err) == (0, "")
    assert "Backward pass" in text
    assert "ComputeBranch" in text
    status, dot, err = run("explain", *CASES[name], "--dot")
    assert (status, err, dot.startswith("digraph")) == (0, "", True)
    found = json.loads(run("explain", *CASES[name], "--json")[1])
    n_edges = sum(len(step["parents"]) for step in found["forward"])
    assert dot.count("->") == n_edges
    page = tmp_path / "page.html"
    assert run("explain", *CASES[name], "--html", page)[0] == 0
    content = page.read_text("utf-8")
    reader = Reader()
    reader.feed(content)
    assert reader.open == []
    assert content.count('<section class="step') == len(found["forward"]) + len(found["backward"])
    assert content.count('<g class="edge"') == n_edges


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", CASES)
def test_the_text_fits(run, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, text, _ = run("explain", *CASES[name])
    assert max(map(len, text.splitlines())) <= columns


def test_the_lectures_example(run):
    found = json.loads(run("explain", *CASES["sine"], "--json")[1])
    x = {step["name"]: step for step in found["backward"]}["x"]
    assert x["gradient"]["value"] == pytest.approx([2 * 0.7 * np.cos(0.49)], rel=1e-14)
    assert found["modes"]["start"] == "x"
    assert [step["products"] for step in found["modes"]["forward"]] == [0, 1]


def test_both_modes_count_as_the_lecture_does(run):
    """m = 6 and d = 50 in s = w W3 W2 W1 x."""
    modes = json.loads(run("explain", *CASES["a chain"], "--json")[1])["modes"]
    expected = {"forward": 2 * 36 * 50 + 6 * 50, "reverse": 2 * 36 + 6 * 50}
    assert modes["products"] == expected
    assert modes["lecture"] == {"m": 6, "d": 50, **expected}
    text = run("explain", *CASES["a chain"])[1]
    assert "2m²d + md = 3,900" in " ".join(text.split())


def test_all_jacobians_are_in_the_json(run):
    found = json.loads(run("explain", *CASES["loss"], "--json")[1])
    backward = {step["name"]: step for step in found["backward"]}
    forward = {step["name"]: step for step in found["forward"]}
    edges = {e["parent"]: e for step in found["backward"] for e in step["jacobians"]}
    assert all("value" in e or "kronecker" in e for e in edges.values())
    p = np.array(forward["u3"]["value"])
    by_s = {e["child"]: e for step in found["backward"] for e in step["jacobians"]}["u3"]
    np.testing.assert_allclose(by_s["value"], np.diag(p) - np.outer(p, p), rtol=1e-12)
    assert edges["x"]["value"]  # W itself
    assert len(backward["W"]["terms"]) == 2


def test_the_svms_violations(run):
    """Scores 3, 1, 4 and class 1: both others are above, by 3 - 1 + 1 and 4 - 1 + 1."""
    found = json.loads(run("explain", *CASES["SVM"], "--json")[1])
    details = next(step["details"] for step in found["forward"] if step["details"])
    assert list(details.values()) == [[3.0, 0.0, 4.0], [1.0, 0.0, 1.0]]
    assert "violated" in run("explain", *CASES["SVM"])[1]


def test_random_values_come_from_the_seed(run):
    one, again, other = (
        run("explain", *NETWORK, "--json", "--seed", seed)[1] for seed in (1, 1, 2)
    )
    assert one == again != other


GRAPH = {
    "inputs": {"x": [1.0, 2.0]},
    "parameters": {"W": [[1, 0], [0, 2]]},
    "nodes": [["z", "matrix_vector", ["W", "x"]], ["h", "sum_of_squares", ["z"]]],
}


def test_a_graph_from_a_file(run, tmp_path):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(GRAPH))
    status, out, err = run("explain", "--graph", path, "--json")
    assert (status, err) == (0, "")
    backward = {step["name"]: step for step in json.loads(out)["backward"]}
    assert backward["W"]["gradient"]["value"] == [2.0, 4.0, 8.0, 16.0]  # 2 z xᵀ, z = (1, 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ("{}", "expected an object"),
        ('{"nodes": []}', "expected nodes"),
        ('{"nodes": [["z", "sin", "x"]]}', "expected nodes"),
        ('{"nodes": [["z", "sin", ["x"]]]}', "never defined"),
        ('{"nodes": [["z", "sin", ["x"]]], "inputs": {"x": "a"}}', "not an array of numbers"),
        ('{"nodes": [["z", "sine", ["x"]]], "inputs": {"x": 1}}', "did you mean 'sin'"),
        ('{"nodes": [["z", "sin", ["x"]]], "inputs": {"x": []}}', "entries"),
        ('{"nodes": [["z", "sin", ["x"]]], "inputs": {"x": 1}, "result": "q"}', "no node 'q'"),
        ('{"nodes": [["z", "sin", ["x"]]], "inputs": {"x": [[1]]}}', "do not fit"),
    ],
)
def test_a_file_that_is_no_graph(run, tmp_path, content, words):
    path = tmp_path / "graph.json"
    path.write_text(content)
    status, out, err = run("explain", "--graph", path)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert words in err
    assert str(path) in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "expected one of RUN"),
        (("--expression", "sin(x)", "--config", "c.yaml"), "expected one of"),
        (("--expression", "sin(x)"), "'x' has no value: --at x=0.5"),
        (("--expression", "sin(x)", "--at", "x"), "expected NAME=VALUE"),
        (("--expression", "sin(x)", "--at", "x=0,7"), "write 0.7"),
        (("--expression", "sin(x)", "--at", "x=open('f')"), "expected a number"),
        (("--expression", "sin(x)", "--at", "x=99999x9"), "expected 1 to"),
        (("--expression", "sin(x)", "--at", "x=1", "--at", "y=2"), "no 'y'"),
        (("--expression", "sin(x)", "--at", "x=1", "--at", "x=2"), "a value already"),
        (("--at", "x=1", "--graph", "g.json"), "--at is for --expression"),
        (("--graph", "no_such.json"), "cannot read it"),
    ],
)
def test_mistakes(run, args, words):
    status, out, err = run("explain", *args)
    assert (status, out) == (2, ""), err
    assert words in err


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("log(x)", ["x=-1"], "log(x): u1 = log(x) is not a number at x = -1"),
        ("2 / x", ["x=0"], "u1 = 2/x is infinite at x = 0"),
        ("sum(log(W x))", ["W=[[1,0],[0,-1]]", "x=[1,2]"], "is not a number at u1 from -2 to 1"),
        ("x^T y", ["x=[1,2]", "y=[1,2]"], "of two vectors, x^T y is written x @ y"),
    ],
)
def test_a_value_that_is_not_finite_is_refused(refused, text, values, words):
    refused(
        "explain", "--expression", text, *(w for v in values for w in ("--at", v)), words=[words]
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_graph_with_values_that_are_not_finite_is_refused(refused, tmp_path, number):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(GRAPH).replace("2.0", number))
    refused("explain", "--graph", path, words=[str(path), "number"])


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        ("x^0.5", ["x=0"], "the gradient by x is infinite"),
        ("cross_entropy(softmax(s), y)", ["s=3x", "y=3x"], "y is no target of cross_entropy"),
        ("multiclass_svm(s, y)", ["s=3x", "y=[1,1,0]"], "y is no target of multiclass_svm"),
        ("cross_entropy(softmax(s), y)", ["s=3x", "y=[0.3,0.7,0]"], None),
        ("multiclass_svm(s, y)", ["s=3x", "y=[0,1,0]"], None),
    ],
)
def test_a_note_on_what_says_little(run, text, values, words):
    ats = [word for value in values for word in ("--at", value)]
    status, out, err = run("explain", "--expression", text, *ats)
    assert (status, err) == (0, "")
    assert ("Note: " in out) == (words is not None)
    assert (words or "") in " ".join(out.split())


def test_the_comparison_of_the_modes_is_in_words(run):
    """A single function of a number: no mode multiplies anything, and there is one call."""
    out = run("explain", *CASES["sine"])[1]
    assert "Forward mode takes as many for x." in out
    assert "times as many" not in out
    out = run("explain", "--expression", "sin(x)", "--at", "x=1")[1]
    assert "ComputeBranch: 1 call, 0 too early" in out
    # Six results of one number, w: forward mode multiplies vectors, reverse mode matrices.
    out = run("explain", "--expression", "tanh(tanh(w v))", "--at", "v=6x", "--at", "w=1")[1]
    assert "Forward mode takes fewer" in out
