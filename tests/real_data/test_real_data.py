"""The presets on real data: published figures, both layouts, gradients, the same bytes again."""

import importlib.util
import json
import pathlib

import pytest
from click.testing import CliRunner

from backprop_cli.cli.main import cli
from backprop_cli.config import load_config
from backprop_cli.config.convert import settings_of, solver_of
from backprop_cli.evaluation.metrics import evaluate_model
from backprop_cli.fitting import fit
from backprop_cli.formats import load_dataset
from backprop_cli.runs.run import Run
from backprop_cli.solvers.observer import Observer

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

# Test accuracy in % after 40 epochs, and how far a run may be from it. Course and student
# reports: softmax 39.1, 39.1, 37.6; SVM 35.4, 35.8, 36.6; 26 to 31 at rate 0.1.
DD2424 = {
    "softmax-lambda0-eta0.001": (39.1, 0.8),
    "softmax-lambda0.1-eta0.001": (39.1, 0.9),
    "softmax-lambda1-eta0.001": (37.6, 0.6),
    "softmax-lambda0-eta0.1": (28.5, 2.5),
    "svm-lambda0-eta0.001": (35.5, 1.0),
    "svm-lambda0.1-eta0.001": (36.0, 1.0),
    "svm-lambda1-eta0.001": (36.8, 1.0),
    "svm-lambda0-eta0.1": (28.5, 2.5),
}

BACKENDS = ["numpy", *(["compiled"] if importlib.util.find_spec("numba") else [])]


def command(*args):
    result = CliRunner().invoke(cli, [*map(str, args), "--json"], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def preset(name, folder, backend="auto"):
    return load_config(CONFIGS / name, [f"data.path={folder}", f"compute.backend={backend}"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_dd2424_presets_reach_the_published_accuracies(cifar10, backend):
    """All eight in one pass: they share data, seed and batches, and differ in loss, l2 and rate."""
    folder = cifar10 / "cifar-10-batches-py"
    configs = [preset(f"dd2424/{name}.yaml", folder, backend) for name in DD2424]
    dataset = load_dataset(configs[0].data)
    fitted = fit(dataset, settings_of(configs), solver_of(configs))
    found = {
        name: 100 * evaluate_model(one.model, dataset.test).accuracy
        for name, one in zip(DD2424, fitted, strict=True)
    }
    wrong = {
        name: found[name]
        for name, (expected, spread) in DD2424.items()
        if abs(found[name] - expected) > spread
    }
    assert not wrong, found


def test_both_layouts_give_the_same_model(cifar10, tmp_path):
    contents = []
    for layout in ("py", "bin"):
        folder, output = cifar10 / f"cifar-10-batches-{layout}", tmp_path / layout
        status, _ = command(
            "train", "--config", CONFIGS / "dd2424" / "svm-lambda0.1-eta0.001.yaml",
            "--set", f"data.path={folder}", "--set", "training.epochs=3", "--output", output,
        )  # fmt: skip
        assert status == 0
        contents.append((output / "model.safetensors").read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("softmax-lambda0-eta0.001", 1e-7),
        ("softmax-lambda0.1-eta0.001", 1e-7),
        ("svm-lambda0-eta0.001", 1e-6),
        ("svm-lambda1-eta0.001", 1e-6),
    ],
)
def test_gradients_agree(cifar10, name, most):
    """In float64, where only a wrong formula could be seen."""
    status, found = command(
        "gradcheck", "--config", CONFIGS / "dd2424" / f"{name}.yaml", "--samples", 300,
        "--set", f"data.path={cifar10 / 'cifar-10-batches-bin'}", "--set", "model.dtype=float64",
    )  # fmt: skip
    assert status == 0
    assert max(row["relative_error"] for row in found["rows"]) < most
    assert all(row["checked"] > 0 for row in found["rows"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["softmax-lambda0.1-eta0.001", "svm-lambda0.1-eta0.001"])
def test_gradients_agree_in_float32(cifar10, name, backend):
    """What trains, to the digits of float32: a gradient is a sum over 100 examples."""
    status, found = command(
        "gradcheck", "--config", CONFIGS / "dd2424" / f"{name}.yaml", "--samples", 300,
        "--set", f"data.path={cifar10 / 'cifar-10-batches-bin'}",
        "--set", f"compute.backend={backend}",
    )  # fmt: skip
    assert status == 0
    assert found["engine"] == f"{backend}, float32"
    assert max(row["relative_error"] for row in found["rows"]) < 1e-4


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "multiclass_svm"])
@pytest.mark.parametrize("l2", [0, 0.1])
@pytest.mark.parametrize("n", [1, 8])
def test_the_graph_agrees_with_the_engine(cifar10, loss, l2, n):
    status, found = command(
        "gradcheck", "--config", CONFIGS / "dd2424" / "softmax-lambda0-eta0.001.yaml",
        "--set", f"data.path={cifar10 / 'cifar-10-batches-bin'}", "--set", f"loss={loss}",
        "--set", f"l2={l2}", "--examples", n, "--samples", 4000, "--set", "model.dtype=float64",
    )  # fmt: skip
    assert status == 0
    rows = [row for row in found["rows"] if row["derivation"].startswith("graph")]
    # The loss, then W and b by two passes for each cost; the value of J too.
    assert len(rows) == (10 if l2 else 5)
    assert max(row["relative_error"] for row in rows) <= 1e-11  # of the smallest of 30,720 numbers


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "least"), [("cifar10-softmax.yaml", 41.0), ("cifar10-svm.yaml", 39.5)]
)
def test_best_cifar10_presets(cifar10, tmp_path, name, least, backend):
    config = preset(name, cifar10 / "cifar-10-batches-py", backend)
    result = Run(config.model_copy(update={"output": str(tmp_path / "run")})).train(Observer())
    assert 100 * result.test.accuracy >= least


def test_fashion_mnist_preset(fashion_mnist, tmp_path):
    config = preset("fashion-mnist.yaml", fashion_mnist)
    result = Run(config.model_copy(update={"output": str(tmp_path / "run")})).train(Observer())
    assert 100 * result.test.accuracy >= 84.2
    status, found = command("eval", tmp_path / "run")
    assert status == 0
    assert found["accuracy"] == result.test.accuracy
