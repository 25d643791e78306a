"""A loss that the package does not have, defined here alone, goes through every command."""

import dataclasses
import json

import numpy as np
import pytest
import yaml

from backprop_cli.cli.signals import Stops
from backprop_cli.losses import LOSSES, Loss
from backprop_cli.solvers.descent import Descent
from tests.graph.squared_hinge import SQUARED_HINGE as OPERATION

C = 4
SYNTHETIC = f"""\
data: {{format: synthetic, examples: 300, size: 6, classes: {C}, validation: 60, test: 60}}
loss: squared_hinge
l2: 0.01
training: {{epochs: 4, batch_size: 32, learning_rate: 0.003, momentum: 0.9}}
"""


def _hinges(S, Y):
    """Return max(0, s_j - s_y + 1), C x n or M x C x n; 0 for the true class."""
    return (1 - Y) * np.maximum(0, S - (Y * S).sum(axis=-2, keepdims=True) + 1)


def loss_gradient(S, Y):
    hinges = _hinges(S, Y)
    G = 2 * hinges
    return (hinges**2).sum(axis=1), G - Y * G.sum(axis=1, keepdims=True)


def by_example(s, y):
    true = int(np.argmax(y))
    loss, g = 0.0, np.zeros(len(s))
    for j in range(len(s)):
        if j != true and s[j] - s[true] + 1 > 0:
            loss += (s[j] - s[true] + 1) ** 2
            g[j] += 2 * (s[j] - s[true] + 1)
            g[true] -= 2 * (s[j] - s[true] + 1)
    return loss, g


SQUARED_HINGE = Loss(
    name="squared_hinge",
    loss_gradient=loss_gradient,
    by_example=by_example,
    values=lambda S, Y: (_hinges(S, Y) ** 2).sum(axis=0),
    at_equal_scores=lambda n_classes: n_classes - 1.0,
    graph=(("l", OPERATION),),
    smooth=False,
    takes_soft_targets=False,
    # The Hessian is at most 2 sum_j (e_j - e_y) (e_j - e_y)^T: twice the Laplacian of a star.
    curvature_bound=lambda n_classes: 2.0 * n_classes,
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(LOSSES, "squared_hinge", SQUARED_HINGE)


@pytest.fixture
def done(run):
    """Return a function that runs a command which must succeed: its stdout."""

    def command(*args):
        status, out, err = run(*args)
        assert (status, err) == (0, "")
        return out

    return command


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(SYNTHETIC)
    return path


@pytest.fixture
def trained(done, config, tmp_path):
    folder = tmp_path / "run"
    done("train", "--config", config, "--output", folder)
    return folder


def test_training_is_gradient_descent_on_this_loss(done, tmp_path):
    """Batches of all examples from W = 0, so that a plain loop needs no random numbers."""
    rng = np.random.default_rng(0)
    n, d, epochs, rate, l2 = 90, 5, 20, 0.01, 0.1
    labels = np.arange(n) % C
    x = rng.standard_normal((n, d)) + rng.standard_normal((C, d))[labels]
    np.savez(tmp_path / "d.npz", x=x, y=labels)
    settings = {
        "data": {"format": "npy", "path": str(tmp_path / "d.npz"), "validation": 0, "test": 0},
        "loss": "squared_hinge",
        "l2": l2,
        "model": {"dtype": "float64", "initial_std": 0},
        "training": {
            "epochs": epochs,
            "batch_size": n,
            "learning_rate": rate,
            "momentum": 0,
            "schedule": {"kind": "constant"},
        },
    }
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(settings))
    done("train", "--config", tmp_path / "plain.yaml", "--output", tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()

    X = ((x - x.mean(axis=0)) / x.std(axis=0)).T
    others = np.arange(C)[:, None] != labels
    W, b = np.zeros((C, d)), np.zeros((C, 1))

    def cost_and_g():
        S = W @ X + b
        margins = np.where(others, np.maximum(0, S - S[labels, np.arange(n)] + 1), 0)
        g = 2 * margins / n
        g[labels, np.arange(n)] = -g.sum(axis=0)
        return (margins**2).sum() / n + l2 * (W**2).sum(), g

    for line in lines:
        _, g = cost_and_g()
        W -= rate * (g @ X.T + 2 * l2 * W)
        b -= rate * g.sum(axis=1, keepdims=True)
        assert json.loads(line)["train_cost"] == pytest.approx(cost_and_g()[0], rel=1e-10)
    assert len(lines) == epochs


def test_interrupted_and_resumed_it_is_the_same_run(run, done, trained, config, monkeypatch):
    steps = iter(range(10_000))

    def press_ctrl_c_in_the_second_epoch(self):
        if next(steps) == 10:
            raise KeyboardInterrupt

    folder = trained.with_name("resumed")
    train = ("train", "--config", config, "--output", folder)
    with monkeypatch.context() as patched:
        patched.setattr(Descent, "max_work_at_once", 1.0)  # listen after every step
        patched.setattr(Stops, "check", press_ctrl_c_in_the_second_epoch)
        assert run(*train)[0] == 130
    assert not (folder / "summary.json").exists()
    done(*train, "--resume")
    name = "model.safetensors"
    assert (folder / name).read_bytes() == (trained / name).read_bytes()
    histories = [
        [{**json.loads(line), "seconds": None} for line in path.read_text().splitlines()]
        for path in (folder / "metrics.jsonl", trained / "metrics.jsonl")
    ]
    assert histories[0] == histories[1]


def test_a_sweep_over_all_losses(done, config, tmp_path, trained):
    folder = tmp_path / "sweep"
    grid = "loss=softmax_cross_entropy,multiclass_svm,squared_hinge"
    out = done("sweep", "--config", config, "--grid", grid, "--output", folder, "--json")
    models = json.loads(out)["models"]
    names = {model["settings"]["loss"] for model in models}
    assert names == {"softmax_cross_entropy", "multiclass_svm", "squared_hinge"}
    alone = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    history = [json.loads(line) for line in (folder / "sweep.jsonl").read_text().splitlines()]
    costs = [line["train_cost"] for line in history if line["epoch"] == 4]
    assert len(costs) == 3
    assert min(abs(cost / alone["train_cost"] - 1) for cost in costs) < 1e-5
    done("eval", folder)


def test_eval_and_predict(done, run, trained, tmp_path):
    found = json.loads(done("eval", trained, "--json"))
    assert found["examples"] == 60
    assert found["accuracy"] > 0.5
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 6, 3), np.uint8)
    np.save(tmp_path / "new.npy", images)
    status, out, err = run("predict", trained, "--input", tmp_path / "new.npy", "--json")
    assert status == 0
    assert "scores of squared_hinge are not trained to be probabilities" in err
    lines = out.splitlines()
    assert len(lines) == 3
    assert all(json.loads(line)["probability"] <= 1 for line in lines)


def test_report(done, trained):
    assert "synthetic, squared_hinge" in done("report", trained, "--text")
    pytest.importorskip("matplotlib", reason="needs the extra: plot")
    done("report", trained)
    page = (trained / "report.html").read_text("utf-8")
    assert "squared_hinge" in page


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("more", ["l2=0.1", "training.class_weights=[1, 2, 3, 0.5]"])
def test_gradcheck(done, config, dtype, more):
    args = ("--config", config, "--set", f"model.dtype={dtype}", "--set", more, "--json")
    found = json.loads(done("gradcheck", *args))
    assert found["agrees"]
    assert found["engine"] == f"numpy, {dtype}"
    assert all(row["checked"] for row in found["rows"])


def test_gradcheck_finds_a_wrong_gradient(run, config, monkeypatch):
    def wrong(S, Y):
        losses, G = loss_gradient(S, Y)
        return losses, G * S.dtype.type(1.001)

    loss = dataclasses.replace(SQUARED_HINGE, loss_gradient=wrong)
    monkeypatch.setitem(LOSSES, "squared_hinge", loss)
    status, out, err = run("gradcheck", "--config", config)
    assert (status, err) == (1, "")
    assert "The gradients DISAGREE" in out


def test_explain(done, config, tmp_path):
    assert "squared_hinge" in done("explain", "--config", config)
    found = json.loads(done("explain", "--config", config, "--json"))
    assert found["loss"] == "squared_hinge"
    s, label = np.array(found["result"]["scores"]), found["example"]["label"]
    margins = np.maximum(0, np.delete(s - s[label] + 1, label))
    assert found["result"]["loss"] == pytest.approx((margins**2).sum(), rel=1e-12)
    done("explain", "--config", config, "--html", tmp_path / "page.html")
    assert OPERATION.description in (tmp_path / "page.html").read_text("utf-8")


def test_the_kernels_refuse_it(run, config):
    pytest.importorskip("numba", reason="needs the extra: fast")
    status, out, err = run(
        "train", "--config", config, "--set", "compute.backend=compiled", "--dry-run"
    )
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "compute.backend: compiled has no kernel for loss: squared_hinge" in err


def test_auto_takes_numpy_where_the_kernels_would_pay(done, config):
    """Of the other losses, auto takes the kernels for so many epochs."""
    pytest.importorskip("numba", reason="needs the extra: fast")
    engines = {}
    for loss in ("squared_hinge", "multiclass_svm"):
        long = ("--set", "training.epochs=1000000", "--set", f"loss={loss}")
        engines[loss] = json.loads(done("gradcheck", "--config", config, "--json", *long))["engine"]
    assert engines == {"squared_hinge": "numpy, float32", "multiclass_svm": "compiled, float32"}


def test_soft_targets_are_refused(run, config):
    status, out, err = run("train", "--config", config, "--set", "label_smoothing=0.1")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "label_smoothing: needs loss: softmax_cross_entropy" in err
