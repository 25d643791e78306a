"""`backprop export`: the other library's probabilities are those of `backprop predict`."""

import importlib.util
import json
import pathlib

import click
import numpy as np
import pytest
from safetensors import safe_open

from backprop_cli.cli.export import export as command
from backprop_cli.exports import FORMATS, raw_classifier
from backprop_cli.model import LinearModel
from backprop_cli.runs.run_directory import load_run
from backprop_cli.sources import Standardization
from tests.command import call

CONFIG = """\
data: {{format: npy, path: '{folder}/x.npy', labels: '{folder}/y.npy', validation: 0.2{data}}}
training: {{epochs: 3}}
output: '{folder}/{name}'
"""
RUNS = {
    "softmax": ("", []),
    "svm": ("", ["loss=multiclass_svm"]),
    "one score": (", classes: [no, yes]", ["model.outputs=1"]),
    "two classes": (", classes: [yes, no]", []),
    "float64": (", standardize: none", ["model.dtype=float64"]),
    "images": (", standardize: per_channel", []),
    "calibrated": ("", []),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folders of some runs, with examples to classify, by name."""
    base = tmp_path_factory.mktemp("exports")
    found = {}
    for name, (data, settings) in RUNS.items():
        folder = base / name
        folder.mkdir()
        rng = np.random.default_rng(0)
        names = ["zebra", "ant", 'it\'s a "cat", ä']  # not in alphabetical order
        labels = rng.integers(2 if "classes" in data else 3, size=200)
        shape = (4, 5, 3) if name == "images" else (20,)
        x = rng.integers(0, 256, (200, *shape)) + 20 * labels.reshape(-1, *[1] * len(shape))
        np.save(folder / "x.npy", x.clip(0, 255).astype(np.uint8))
        np.save(folder / "y.npy", labels if "classes" in data else np.array(names)[labels])
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(folder=folder, name=name, data=data), "utf-8")
        overrides = [word for setting in settings for word in ("--set", setting)]
        assert call("train", "--config", config, *overrides) == 0
        if name == "calibrated":
            pytest.importorskip("scipy", reason="needs the extra: calibrate")
            assert call("calibrate", folder / name) == 0
        found[name] = folder / name
    return found


def in_planes(x):
    """Return n x d features: of images, n x height x width x channels, their channel planes."""
    return x.reshape(len(x), -1) if x.ndim == 2 else x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def by_onnx(file, x, class_names):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file))
    probabilities, scores = session.run(None, {"features": x.astype(np.float32)})
    np.testing.assert_allclose(softmax(scores.astype(np.float64)), probabilities, atol=1e-6)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["class_names"]) == list(class_names)
    return probabilities


def by_torch(file, x, class_names):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    layer = torch.nn.Linear(x.shape[1], len(class_names))
    layer.load_state_dict(load_file(file))
    return layer(torch.from_numpy(x.astype(np.float32))).softmax(dim=1).detach().numpy()


def by_sklearn(file, x, class_names):
    skops = pytest.importorskip("skops.io")
    classifier = skops.load(file)
    assert list(classifier.classes_) == sorted(class_names)
    np.testing.assert_array_equal(
        classifier.predict(x), classifier.classes_[classifier.predict_proba(x).argmax(axis=1)]
    )
    return classifier.predict_proba(x)[:, np.argsort(np.argsort(class_names))]


def by_numpy(file, x, class_names):
    with np.load(file) as opened:
        model = dict(opened)
    assert model["class_names"].tolist() == list(class_names)
    return softmax(x @ model["weights"].T + model["bias"])


READERS = {"onnx": by_onnx, "torch": by_torch, "sklearn": by_sklearn, "numpy": by_numpy}
NEEDS = {"onnx": "onnx", "sklearn": "skops"}


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", RUNS)
def test_probabilities_are_those_of_predict(runs, name, to, tmp_path):
    pytest.importorskip(NEEDS.get(to, "numpy"), reason=f"needs the extra: {to}")
    run, inputs = runs[name], runs[name].parent / "x.npy"
    assert call("predict", run, "--input", inputs, "--output", tmp_path / "p.npy") == 0
    assert call("export", run, "--to", to) == 0
    x = in_planes(np.load(inputs))
    _, model = load_run(str(run))
    found = READERS[to](run / FORMATS[to].file_name, x, model.class_names)
    # Far from 0, features make large sums, whose float32 rounds twice as coarsely as ours.
    np.testing.assert_allclose(found, np.load(tmp_path / "p.npy"), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["softmax", "one score"])
def test_the_torch_file_is_a_state_dict_of_a_linear_layer(runs, name):
    assert call("export", runs[name], "--to", "torch") == 0
    _, model = load_run(str(runs[name]))
    raw = raw_classifier(model)
    with safe_open(runs[name] / "torch.safetensors", "numpy") as file:
        assert sorted(file.keys()) == ["bias", "weight"]
        weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
        assert json.loads(file.metadata()["backprop"])["class_names"] == list(model.class_names)
    assert weight.dtype == bias.dtype == np.float32
    np.testing.assert_array_equal(weight, raw.weights.astype(np.float32))
    np.testing.assert_array_equal(bias, raw.bias.astype(np.float32))


def test_the_onnx_file_is_whole(runs, capfd):
    onnx = pytest.importorskip("onnx", reason="needs the extra: onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    assert call("export", runs["softmax"], "--to", "onnx") == 0
    capfd.readouterr()
    path = str(runs["softmax"] / "model.onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    assert [node.op_type for node in inferred.graph.node] == ["Gemm", "Softmax"]
    (features,) = model.graph.input
    batch, width = features.type.tensor_type.shape.dim
    assert (batch.dim_param, width.dim_value) == ("batch", 20)
    session = onnxruntime.InferenceSession(path)
    for n in (1, 7):
        probabilities, _ = session.run(None, {"features": np.zeros((n, 20), np.float32)})
        assert probabilities.shape == (n, 3)
    assert capfd.readouterr() == ("", "")


def test_folding_is_exact():
    model = LinearModel(
        np.array([[1.0, 2.0], [3.0, 4.0], [0.0, -1.0]]), np.array([0.5, 0.0, 1.0]),
        Standardization(np.array([10.0, 20.0]), np.array([2.0, 4.0])), ("a", "b", "c"), None,
        "softmax_cross_entropy",
    )  # fmt: skip
    raw = raw_classifier(model, temperature=2.0)
    np.testing.assert_array_equal(raw.weights, [[0.25, 0.25], [0.75, 0.5], [0, -0.125]])
    np.testing.assert_array_equal(raw.bias, [-7.25, -17.5, 3.0])


def test_what_is_printed_loads_the_file(runs, run):
    status, out, err = run("export", runs["softmax"], "--to", "numpy")
    assert (status, err) == (0, "")
    usage = out.split("\n\n")[1]
    scope = {"x": np.load(runs["softmax"].parent / "x.npy")}
    exec(usage, scope)  # noqa: S102 - the point of the test
    assert set(scope["decisions"]) <= set(scope["model"]["class_names"])
    status, out, err = run("export", runs["calibrated"], "--to", "numpy", "--json")
    about = json.loads(out)
    assert about["format"] == "numpy"
    assert about["temperature"] > 0
    assert pathlib.Path(about["file"]).is_file()


def test_names_that_are_refused(runs, run, tmp_path):
    folder = runs["softmax"]
    before = (folder / "model.safetensors").read_bytes()
    for to, output, message in (
        ("onnx", tmp_path / "model.json", "expected a name that ends in .onnx"),
        ("torch", folder / "model.safetensors", "is the model of the run itself"),
        ("numpy", tmp_path / "none" / "model.npz", "cannot write"),
    ):
        status, out, err = run("export", folder, "--to", to, "--output", output)
        assert (status, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    assert (folder / "model.safetensors").read_bytes() == before


def test_no_run(run, tmp_path):
    status, _, err = run("export", tmp_path, "--to", "numpy")
    assert status == 2
    assert "expected the folder of a run" in err


@pytest.mark.parametrize(
    ("to", "module", "message"),
    [
        ("onnx", "onnx", "needs onnx, found none: install backprop-cli[onnx]"),
        ("sklearn", "skops", "needs skops, found none: install backprop-cli[sklearn]"),
        ("sklearn", "sklearn", "needs scikit-learn, found none: install backprop-cli[sklearn]"),
    ],
)
def test_a_missing_package_is_named(runs, run, to, module, message, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else name)
    status, _, err = run("export", runs["softmax"], "--to", to)
    assert status == 2
    assert message in err


def test_the_command_has_every_format():
    (choice,) = [option.type for option in command.params if option.name == "to"]
    assert isinstance(choice, click.Choice)
    assert list(choice.choices) == list(FORMATS)
