"""The estimator and an exported model on CIFAR-10, against the command and ONNX Runtime."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra: sklearn")

from backprop_cli import LinearClassifier
from backprop_cli.config import load_config
from backprop_cli.exports import raw_classifier
from backprop_cli.exports.onnx_file import content
from backprop_cli.runs.run import Run
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import to_planes
from tests.real_data.test_real_data import CONFIGS

EPOCHS = 3


@pytest.fixture(scope="module")
def run(cifar10, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ecosystem")
    overrides = [
        f"data.path={cifar10 / 'cifar-10-batches-py'}", f"output={folder / 'run'}",
        f"training.epochs={EPOCHS}", "training.horizontal_flips=false",
        "training.keep=last",
    ]  # fmt: skip
    run = Run(load_config(CONFIGS / "cifar10-softmax.yaml", overrides))
    run.train(Observer())
    return run


def test_the_estimator_trains_the_model_of_the_command(run):
    data, config = run.dataset, run.config
    ours = LinearClassifier(
        l2=config.l2, epochs=EPOCHS, momentum=0.0,
        learning_rate=config.training.learning_rate, threads=config.compute.threads,
    )  # fmt: skip
    ours.fit(data.train.features[data.train.rows], data.train.own_labels())
    np.testing.assert_array_equal(ours.model_.weights, run.training.model(0).weights)


def test_onnx_runtime_gives_our_probabilities(run):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx", reason="needs the extra: onnx")
    model, test = run.training.model(0), run.dataset.test
    x = to_planes(run.dataset.image, test.features[test.rows]).astype(np.float32)
    session = onnxruntime.InferenceSession(content(raw_classifier(model)))
    found, _ = session.run(None, {"features": x})
    ours, decisions = model.predict(test.source, test.rows)
    np.testing.assert_allclose(found, ours, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(axis=1), decisions)
