"""What the commands do, as functions: the same figures, and HTML that notebooks can show."""

import html.parser
import json
import re

import numpy as np
import pytest

from backprop_cli import api
from backprop_cli.api.html import loss_curves
from backprop_cli.errors import BackpropError
from tests.command import call

NAMES = ["<script>alert(1)</script>", "ä & b", "plain"]


class Balance(html.parser.HTMLParser):
    """Counts the tags that are opened and closed, and gathers the text."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    x = rng.standard_normal((3, 4))[labels] * 2 + rng.standard_normal((300, 4))
    np.savez(folder / "d.npz", x=x, y=labels)
    return {
        "data": {
            "format": "npy", "path": folder / "d.npz", "validation": 60, "test": 60,
            "classes": NAMES,
        },
        "l2": 1e-3,
        "training": {"epochs": 4},
        "output": str(folder / "run"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(config):
    return api.train(config)


@pytest.fixture
def file(config, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config, default=str), "utf-8")  # JSON is YAML
    return path


def test_train_leaves_the_run_of_the_command(trained, file, tmp_path, capsys):
    assert call("train", "--config", file, "--output", tmp_path / "run", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    model = "model.safetensors"
    assert (tmp_path / "run" / model).read_bytes() == (trained.path / model).read_bytes()
    own = trained.to_mapping()
    assert {**printed, "run": ""} == {**json.loads(json.dumps(own)), "run": ""}
    assert [record["epoch"] for record in trained.history] == [1, 2, 3, 4]
    assert trained.model.class_names == tuple(NAMES)


def test_train_takes_files_settings_and_folders(file, tmp_path):
    run = api.train(file, settings={"training.epochs": 1, "l2": 0.5}, output=tmp_path / "other")
    assert run.path == tmp_path / "other"
    assert len(run.history) == 1
    text = (run.path / "config.yaml").read_text("utf-8")
    assert re.search(r"^l2: 0.5$", text, re.MULTILINE)
    with pytest.raises(BackpropError, match="holds a run that has finished"):
        api.train(file, output=tmp_path / "other")


def test_evaluate_is_the_command(trained, capsys):
    found = api.evaluate(trained, "validation")
    assert call("eval", trained.path, "--split", "validation", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"run": str(trained.path), **json.loads(json.dumps(found.to_mapping()))} == printed
    assert found.measures["accuracy"] == printed["accuracy"]
    assert found.confusion.sum() == 60
    assert api.evaluate(str(trained.path)).split == "test"


def test_predict_takes_arrays_and_files(trained, config, tmp_path):
    with np.load(config["data"]["path"]) as data:
        x = data["x"]
    np.save(tmp_path / "x.npy", x)
    assert call("predict", trained.path, "--input", tmp_path / "x.npy", "--output",
                tmp_path / "p.npy") == 0  # fmt: skip
    expected = np.load(tmp_path / "p.npy")
    for inputs in (x, x.tolist(), tmp_path / "x.npy", [str(tmp_path / "x.npy")]):
        found = api.predict(trained, inputs)
        np.testing.assert_array_equal(found.probabilities, expected)
        np.testing.assert_array_equal(found.decisions, expected.argmax(axis=1))
        assert len(found) == 300
        assert found.labels[0] == NAMES[expected[0].argmax()]
    assert api.predict(trained, x).names[:2] == ["0", "1"]


def test_explain_is_the_command(config, file, capsys):
    found = api.explain(config, 2)
    assert call("explain", "--config", file, "--example", 2) == 0
    assert capsys.readouterr().out == f"{found}\n"
    assert found.to_mapping()["example"]["index"] == 2


def test_gradcheck_is_the_command(config, file, capsys):
    found = api.gradcheck(config, samples=5, examples=20)
    assert call("gradcheck", "--config", file, "--samples", 5, "--examples", 20, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert found.agrees is printed["agrees"] is True
    assert json.loads(json.dumps(found.to_mapping()["rows"])) == printed["rows"]


def results(trained, config):
    yield trained
    yield api.evaluate(trained)
    yield api.predict(trained, np.zeros((25, 4)))
    yield api.explain(config)
    yield api.gradcheck(config, samples=5, examples=20)


def test_results_show_as_html(trained, config):
    for result in results(trained, config):
        page = Balance(result._repr_html_())
        assert page.tags & {"table", "iframe"}
        assert "script" not in page.tags, type(result)  # class names are text


def test_html_has_the_figures(trained, config):
    page = Balance(trained._repr_html_())
    assert f"{100 * trained.result.test.accuracy:.2f} %" in page.text
    assert "svg" in page.tags
    assert str(trained.path) in page.text
    page = Balance(api.evaluate(trained)._repr_html_())
    assert all(name in page.text for name in NAMES)
    page = Balance(api.predict(trained, np.zeros((25, 4)))._repr_html_())
    assert "and 15 more" in page.text
    assert "The gradients agree." in api.gradcheck(config, samples=5, examples=20)._repr_html_()


def test_curves_are_drawn_to_scale():
    records = [{"train_loss": v, "validation_loss": None} for v in (4.0, 2.0, 1.0)]
    assert 'points="8.0,8.0 180.0,97.3 352.0,142.0"' in loss_curves(records)
    assert loss_curves(records[:1]) == ""
    assert loss_curves([{"train_loss": None, "validation_loss": None}] * 3) == ""


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda c, r: api.train({**c, "l3": 1}), "l3: unknown key"),
        (lambda c, r: api.train(c, settings={"l2": object()}), "l2: expected numbers, texts"),
        (lambda c, r: api.train(c, settings={"l2": -1}), "--set l2=-1: .*>= 0"),
        (lambda c, r: api.train("missing.yaml"), "missing.yaml: cannot read the config"),
        (lambda c, r: api.evaluate(r, "tset"), "split: expected train, validation or test"),
        (lambda c, r: api.evaluate("no run"), "expected the folder of a run"),
        (lambda c, r: api.predict(r, np.zeros((2, 3))), "inputs: expected examples of 4 features"),
        (lambda c, r: api.predict(r, np.zeros((0, 4))), "inputs: expected examples, found none"),
        (lambda c, r: api.predict(r, [["a"]]), "inputs: features: expected real numbers"),
        (lambda c, r: api.predict(r, np.full((1, 4), np.nan)), "nan"),
        (lambda c, r: api.predict(r, "none.npy"), "none.npy: expected a file, found none"),
        (lambda c, r: api.explain(c, 999), "999"),
    ],
)
def test_mistakes_are_told(trained, config, use, message):
    with pytest.raises(BackpropError, match=message):
        use(config, trained)
