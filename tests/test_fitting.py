"""`fit`, from arrays to models, without configs or files; and images as arrays store them."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import DivergedError
from backprop_cli.evaluation.metrics import evaluate_model
from backprop_cli.fitting import fit
from backprop_cli.formats import load_dataset
from backprop_cli.model import LinearModel
from backprop_cli.runs.run import Run
from backprop_cli.runs.run_directory import load_run
from backprop_cli.solvers.observer import Observer
from backprop_cli.sources import ImageLayout, Source, Split
from tests.make import dataset, job, split

ENGINES = ["numpy", "compiled"]


def blobs(n=400, C=3, d=5, seed=0):
    """Return features and labels that a linear classifier tells apart."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % C
    centres = 4 * np.random.default_rng(9).standard_normal((C, d))
    return centres[labels] + rng.standard_normal((n, d)), labels


def test_fit_returns_a_model_for_each_of_the_settings():
    data = dataset(split(*blobs()), split(*blobs(seed=1)))
    models: list[dict] = [{}, {"loss": "multiclass_svm", "learning_rate": 0.001}, {"l2": 0.1}]
    found = fit(data, *job(*models, epochs=5))
    assert len(found) == 3
    for fitted, given in zip(found, models, strict=True):
        assert isinstance(fitted.model, LinearModel)
        assert fitted.model.loss == given.get("loss", "softmax_cross_entropy")
        assert fitted.diverged is None
        assert [record.epoch for record in fitted.history] == [1, 2, 3, 4, 5]
        best = fitted.history[fitted.kept_epoch - 1]
        accuracies = [record.validation_accuracy for record in fitted.history]
        assert best.validation_accuracy == max(accuracies) > 0.95
        evaluation = evaluate_model(fitted.model, data.validation)
        assert evaluation.accuracy == best.validation_accuracy
        assert evaluation.loss == pytest.approx(best.validation_loss, rel=1e-5)


def test_a_model_that_diverges_is_told_beside_the_others():
    features, _ = blobs()
    data = dataset(split(features, np.random.default_rng(1).permutation(400) % 3))
    bad, good = fit(data, *job({"learning_rate": 1e20}, {}))
    assert "step 2 of epoch 1" in bad.diverged
    assert (bad.kept_epoch, bad.history) == (0, [])
    assert good.diverged is None
    with pytest.raises(DivergedError, match="step 2 of epoch 1"):
        fit(data, *job(learning_rate=1e20))


def test_fit_needs_no_config_no_run_directory_and_no_command():
    """Neither their modules, nor the packages that they need, are so much as imported."""
    code = (
        "import sys\n"
        "from tests.make import dataset, job, split\n"
        "from backprop_cli.fitting import fit\n"
        "import numpy as np\n"
        "features = np.random.default_rng(0).standard_normal((60, 4))\n"
        "(fitted,) = fit(dataset(split(features), split(features)), *job(epochs=1))\n"
        "assert fitted.model.weights.shape == (2, 4)\n"
        "unwanted = {'yaml', 'click', 'tqdm', 'pydantic', 'safetensors', 'mpi4py'}\n"
        "inner = ('config', 'runs', 'cli', 'formats', 'reporting', 'gradcheck')\n"
        "unwanted |= {f'backprop_cli.{name}' for name in inner}\n"
        "print(sorted(unwanted & set(sys.modules)))\n"
    )
    root = str(pathlib.Path(__file__).parents[1])
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "[]\n"


def images(tmp_path, dtype=np.uint8):
    """Return images n x height x width x 3, in a file, and their labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 240)
    templates = rng.uniform(0, 120, (4, 6, 5, 3))
    stored = (templates[labels] + rng.uniform(0, 120, (240, 6, 5, 3))).astype(dtype)
    np.save(tmp_path / "x.npy", stored)
    np.save(tmp_path / "y.npy", labels)
    return stored, labels


def config(tmp_path, more=""):
    return check_config(
        f"data: {{format: npy, path: '{tmp_path}/x.npy', labels: '{tmp_path}/y.npy', "
        f"validation: 40, test: 40, standardize: per_channel}}\n{more}",
        "test",
    )


def as_planes(data):
    """Return the same splits of the same images, stored in channel planes."""
    source = data.train.source
    pixels = source.features.reshape(len(source), 6, 5, 3)
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(source), -1)
    copy = Source(planes, source.labels, "planes", ImageLayout(3, 6, 5))
    train, validation, test = (Split(copy, own.rows) for own in data.splits())
    return dataset(train, validation, test, n_classes=4)


def mapped_file(array):
    """Return the memory map that an array is a view of, or None."""
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array


def test_interleaved_images_are_used_as_they_lie_in_the_file(tmp_path):
    stored, _ = images(tmp_path)
    source = load_dataset(config(tmp_path).data).train.source
    assert source.image == ImageLayout(3, 6, 5, interleaved=True)
    mapped = mapped_file(source.features)
    assert mapped is not None
    assert pathlib.Path(mapped.filename) == tmp_path / "x.npy"
    assert np.shares_memory(source.features, mapped)
    np.testing.assert_array_equal(source.features, stored.reshape(240, -1))


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("standardize", ["per_feature", "per_channel"])
@pytest.mark.parametrize("engine", ENGINES)
def test_interleaved_images_train_the_model_of_channel_planes(tmp_path, engine, standardize, flips):
    if engine == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    images(tmp_path)
    data = load_dataset(config(tmp_path).data)
    planes = as_planes(data)
    settings, solver = job(
        {"momentum": 0.9}, {"loss": "multiclass_svm", "l2": 0.1, "learning_rate": 0.001},
        engine=engine, standardize=standardize, horizontal_flips=flips, epochs=3, keep="last",
    )  # fmt: skip
    rows = np.arange(240)
    for ours, theirs in zip(
        fit(data, settings, solver), fit(planes, settings, solver), strict=True
    ):
        size = np.abs(theirs.model.weights).max()
        np.testing.assert_allclose(ours.model.weights, theirs.model.weights, atol=2e-5 * size)
        np.testing.assert_allclose(ours.model.bias, theirs.model.bias, atol=2e-5 * size)
        for name in ("mean", "std"):
            found, expected = (getattr(f.model.standardization, name) for f in (ours, theirs))
            np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert ours.model.image_shape == theirs.model.image_shape == (3, 6, 5)
        for one, other in zip(ours.history, theirs.history, strict=True):
            assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
            assert one.validation_loss == pytest.approx(other.validation_loss, rel=1e-5)
        # One and the same model takes images stored in either order.
        evaluations = [evaluate_model(ours.model, d.test) for d in (data, planes)]
        assert evaluations[0].counts.dense().tolist() == evaluations[1].counts.dense().tolist()
        assert evaluations[0].loss == pytest.approx(evaluations[1].loss, rel=1e-6)
        predictions = [ours.model.predict(d.train.source, rows) for d in (data, planes)]
        np.testing.assert_allclose(predictions[0][0], predictions[1][0], atol=1e-5)
        np.testing.assert_array_equal(predictions[0][1], predictions[1][1])


def test_the_model_file_of_interleaved_images_is_in_channel_planes(tmp_path):
    """Weights, means and spreads: by the definition, on pixels in the order of planes."""
    images(tmp_path)
    more = (
        "training: {epochs: 2, learning_rate: 0.01, horizontal_flips: true}\n"
        f"model: {{dtype: float64}}\noutput: '{tmp_path}/run'\n"
    )
    settings = config(tmp_path, more)
    Run(settings).train(Observer())
    _, model = load_run(str(tmp_path / "run"))
    assert model.image_shape == (3, 6, 5)
    planes = as_planes(load_dataset(settings.data))
    features = planes.train.features.astype(float)
    own = features[planes.train.rows].reshape(-1, 3, 30)
    for array, expected in (
        (model.standardization.mean, own.mean(axis=(0, 2))),
        (model.standardization.std, own.std(axis=(0, 2))),
    ):
        np.testing.assert_allclose(array, np.repeat(expected, 30), rtol=1e-12)
    x = (features - model.standardization.mean) / model.standardization.std
    decisions = (x @ model.weights.T + model.bias).argmax(axis=1)
    in_file = load_dataset(settings.data).train.source
    np.testing.assert_array_equal(model.predict(in_file, np.arange(240))[1], decisions)
    assert (decisions == in_file.labels).mean() > 0.9  # chance is 0.25
