"""`backprop export`: the other library's probabilities are those of `backprop predict`."""

import importlib.util
import json
import pathlib

import click
import numpy as np
import pytest
from safetensors import safe_open

from backprop_cli.cli.export import export as command
from backprop_cli.errors import ConfigError
from backprop_cli.exports import FORMATS, raw_classifier
from backprop_cli.exports import export as write
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


def by_onnx(scope, class_names):
    scores, about = scope["scores"], scope["session"].get_modelmeta().custom_metadata_map
    np.testing.assert_allclose(softmax(scores.astype(float)), scope["probabilities"], atol=1e-6)
    assert json.loads(about["class_names"]) == list(class_names)
    return scope["probabilities"]


def by_torch(scope, class_names):
    return scope["probabilities"].detach().numpy()


def by_sklearn(scope, class_names):
    classifier, found = scope["classifier"], scope["probabilities"]
    assert list(classifier.classes_) == sorted(class_names)
    decisions = classifier.classes_[found.argmax(axis=1)]
    np.testing.assert_array_equal(classifier.predict(scope["x"]), decisions)
    return found[:, np.argsort(np.argsort(class_names))]


def by_numpy(scope, class_names):
    names = scope["model"]["class_names"]
    assert names.tolist() == list(class_names)
    np.testing.assert_array_equal(scope["decisions"], names[scope["scores"].argmax(axis=1)])
    return softmax(scope["scores"])


READERS = {"onnx": by_onnx, "torch": by_torch, "sklearn": by_sklearn, "numpy": by_numpy}
NEEDS = {
    "onnx": ["onnx", "onnxruntime"],
    "torch": ["torch"],
    "sklearn": ["sklearn", "skops"],
    "numpy": [],
}


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", RUNS)
def test_the_printed_lines_give_the_probabilities_of_predict(runs, name, to, run, tmp_path):
    for module in NEEDS[to]:
        pytest.importorskip(module, reason=f"no {module} here to load the file with")
    folder, inputs = runs[name], runs[name].parent / "x.npy"
    assert run("predict", folder, "--input", inputs, "--output", tmp_path / "p.npy")[0] == 0
    status, out, err = run("export", folder, "--to", to)
    assert (status, err) == (0, "")
    scope = {"x": in_planes(np.load(inputs)).astype(np.float32)}
    exec(out.split("\n\n")[1], scope)  # noqa: S102 - the point of the test
    _, model = load_run(str(folder))
    found = READERS[to](scope, model.class_names)
    # Only PyTorch sums in float32, and features far from 0 make large sums.
    atol = 2e-6 if to == "torch" else 3e-7
    np.testing.assert_allclose(found, np.load(tmp_path / "p.npy"), rtol=0, atol=atol)


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
    inferred = onnx.shape_inference.infer_shapes(
        model, check_type=True, strict_mode=True, data_prop=True
    )
    assert [node.op_type for node in inferred.graph.node] == [
        "Cast", "Gemm", "Softmax", "Cast", "Cast",
    ]  # fmt: skip
    (features,) = model.graph.input
    for value in (features, *model.graph.output):  # float32 goes in and comes out
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
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


def test_json_says_what_was_written(runs, run):
    status, out, err = run("export", runs["calibrated"], "--to", "numpy", "--json")
    assert (status, err) == (0, "")
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


@pytest.mark.parametrize(
    ("weight", "to", "said"),
    [(1e39, "torch", "float32"), (1e300, "numpy", "float64")],
)
def test_weights_that_a_format_cannot_hold_are_refused(tmp_path, weight, to, said):
    """1e300 divided by a standard deviation of 1e-10 is infinite in float64, too."""
    model = LinearModel(
        np.full((3, 2), weight), np.zeros(3),
        Standardization(np.zeros(2), np.array([1.0, 1e-10 if weight > 1e100 else 1.0])),
        ("a", "b", "c"), None, "softmax_cross_entropy",
    )  # fmt: skip
    with pytest.raises(ConfigError, match=f"too large for {said}"):
        write(raw_classifier(model), to, tmp_path / "file")
    assert not list(tmp_path.iterdir())
