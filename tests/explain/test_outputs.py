"""What `backprop explain` says equals what is computed apart from it, in every form."""

import html.parser
import json
import re

import numpy as np
import pytest
from scipy.special import softmax

from backprop_cli import prepare
from backprop_cli.config import check_config
from backprop_cli.config.convert import descent_of, settings_of
from backprop_cli.formats import load_dataset
from backprop_cli.gradcheck import make_problem
from tests.command import call

TEXT = """\
data: {format: synthetic, examples: 300, size: 6, classes: %s, validation: 50, test: 50}
"""
CASES = {
    "softmax": (4, "l2: 0.1\n"),
    "softmax, no l2": (4, ""),
    "svm": (4, "loss: multiclass_svm\nl2: 0.1\n"),
    "one score": (2, "model: {outputs: 1}\nl2: 0.1\n"),
    "smoothed": (4, "label_smoothing: 0.2\n"),
    "weighted": (4, "training: {class_weights: [1, 2, 3, 4]}\n"),
    "100 classes": (100, ""),
}


@pytest.fixture
def explain(run, tmp_path):
    def command(name, *args):
        classes, more = CASES[name]
        path = tmp_path / "config.yaml"
        path.write_text(TEXT % classes + more)
        return run("explain", "--config", path, *args)

    return command


def problem(name, index):
    classes, more = CASES[name]
    config = check_config(TEXT % classes + more, name)
    settings = settings_of([config])
    descent = prepare(load_dataset(config.data), settings, descent_of([config]))
    dataset, state = descent.dataset, descent.state
    block = dataset.train.block(index, index + 1)
    start = (state.W[0], state.b[0])
    return make_problem(dataset, settings, descent.standardization, start, block)


@pytest.mark.parametrize("name", ["softmax", "softmax, no l2", "smoothed", "100 classes"])
def test_the_json_has_scores_probabilities_and_gradients(explain, name):
    status, out, err = explain(name, "--example", 3, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    p = problem(name, 3)
    x, y = p.rows[0], p.Y[:, 0]
    s = p.W @ x + p.b
    np.testing.assert_allclose(found["result"]["scores"], s, rtol=1e-12)
    np.testing.assert_allclose(found["result"]["probabilities"], softmax(s), rtol=1e-12)
    loss = -(y * np.log(softmax(s))).sum()
    assert found["result"]["loss"] == pytest.approx(loss, rel=1e-12)
    assert found["result"]["cost"] == pytest.approx(loss + p.l2 * (p.W**2).sum(), rel=1e-12)
    assert found["result"]["predicted"] == int(np.argmax(s))
    dW = np.outer(softmax(s) - y, x) + 2 * p.l2 * p.W
    backward = {step["name"]: step for step in found["backward"]}
    gradient = backward["W"].get("gradient", backward["W"])
    assert gradient["norm"] == pytest.approx(np.linalg.norm(dW), rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_every_form_is_there_for_every_classifier(explain, name, tmp_path):
    status, text, err = explain(name)
    assert (status, err) == (0, "")
    assert max(map(len, text.splitlines())) <= 100
    assert "Forward pass" in text
    assert "Backward pass" in text
    status, dot, err = explain(name, "--dot")
    assert (status, err) == (0, "")
    assert dot.startswith("digraph")
    assert dot.count("{") == dot.count("}")
    assert dot.count("->") >= 5
    page = tmp_path / "a page.html"
    status, _, err = explain(name, "--html", page)
    assert (status, err) == (0, "")
    assert page.stat().st_size < 1_000_000


class Reader(html.parser.HTMLParser):
    """Checks that tags are balanced, and collects what leads out of the page."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.targets, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.targets += [v for k, v in attrs if k in ("src", "href", "action") and v]

    def handle_startendtag(self, tag, attrs):
        self.targets += [v for k, v in attrs if k in ("src", "href") and v]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("name", CASES)
def test_the_page_stands_alone_and_is_whole_without_scripts(explain, name, tmp_path):
    explain(name, "--html", tmp_path / "page.html")
    content = (tmp_path / "page.html").read_text("utf-8")
    reader = Reader()
    reader.feed(content)
    assert reader.open == []
    assert all(target.startswith(("data:", "#")) for target in reader.targets)
    assert set(re.findall(r"https?://[^\"' <>)]+", content)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1998/Math/MathML",
    }
    assert not re.search(r"url\((?!['\"]?(data:|#))", content)
    _, out, _ = explain(name, "--json")
    steps = json.loads(out)
    expected = len(steps["forward"]) + len(steps["backward"])
    assert len(re.findall(r'class="step[ "]', content)) == expected


def test_names_cannot_break_out(tmp_path):
    names = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a&b\"'"]
    x = np.random.default_rng(0).standard_normal((30, 3))
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(30) % 3)
    config = tmp_path / "c.yaml"
    data = {"format": "npy", "path": str(tmp_path / "d.npz"), "classes": names}
    config.write_text(json.dumps({"data": data}))
    assert call("explain", "--config", config, "--html", tmp_path / "p.html") == 0
    content = (tmp_path / "p.html").read_text("utf-8")
    assert content.count("<script") == 1
    assert "<img src=x" not in content


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--example", 200), "199"),
        (("--example", -1), "example"),
        (("--html", "/dev/null/page.html"), "cannot write"),
        (("--json", "--dot"), "choose one"),
    ],
)
def test_mistakes(explain, args, words):
    status, out, err = explain("softmax", *args)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("name", CASES)
def test_the_text_fits_the_terminal(explain, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, text, _ = explain(name)
    assert max(map(len, text.splitlines())) <= columns
