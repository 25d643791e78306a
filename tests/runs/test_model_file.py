"""Model files: written and read back, the same bytes for the same model, the rest refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from backprop_cli.config import check_config
from backprop_cli.errors import ModelFileError, OutputError
from backprop_cli.model import LinearModel
from backprop_cli.runs.model_file import load_model, save_model
from backprop_cli.sources import Standardization

CONFIG = check_config("data: {format: synthetic}", "test")


def model(dtype=np.float32):
    rng = np.random.default_rng(0)
    return LinearModel(
        rng.standard_normal((3, 5)).astype(dtype),
        rng.standard_normal(3).astype(dtype),
        Standardization(rng.standard_normal(5), rng.uniform(1, 2, 5)),
        ("a", "b", "ç"),
        None,
        "multiclass_svm",
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_is_read(tmp_path, dtype):
    save_model(tmp_path / "m.safetensors", model(dtype), CONFIG)
    found = load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(found.weights, model(dtype).weights)
    assert found.weights.dtype == dtype
    np.testing.assert_array_equal(found.standardization.std, model().standardization.std)
    assert (found.class_names, found.loss) == (("a", "b", "ç"), "multiclass_svm")


def test_another_process_writes_the_same_bytes(tmp_path):
    """Hash seeds differ between processes: nothing may be written in a set's or map's order."""
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_model_file as t;"
        "t.save_model(pathlib.Path(sys.argv[2]), t.model(), t.CONFIG)"
    )
    contents = set()
    for k in range(3):
        path = tmp_path / f"{k}"
        here = str(__import__("pathlib").Path(__file__).parent)
        subprocess.run([sys.executable, "-c", code, here, str(path)], check=True)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def broken(tmp_path, change, metadata=None):
    path = tmp_path / "model.safetensors"
    save_model(path, model(), CONFIG)
    tensors = load_file(path)
    change(tensors)
    if metadata is None:
        about = {"classes": ["a", "b", "c"], "image_shape": None, "loss": "multiclass_svm"}
        metadata = {"backprop": json.dumps(about)}
    save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("bias"), "'bias'"),
        (lambda t: t.update(weights=np.ones((2, 5), np.float32)), "weights of 3 classes"),
        (lambda t: t.update(weights=np.ones((3, 0), np.float32)), "weights of 3 classes"),
        (lambda t: t.update(weights=np.ones((3, 5), np.int32)), "weights of 3 classes"),
        (lambda t: t.update(bias=np.ones(2, np.float32)), "3 biases"),
        (lambda t: t.update(bias=np.full(3, np.nan, np.float32)), "finite biases"),
        (lambda t: t.update(feature_mean=np.ones(4)), "feature_mean"),
        (lambda t: t.update(feature_std=np.zeros(5)), "feature_std of at least"),
    ],
)
def test_a_model_whose_parts_do_not_fit_is_refused(tmp_path, change, message):
    with pytest.raises(ModelFileError, match=message):
        load_model(broken(tmp_path, change))


@pytest.mark.parametrize(
    "metadata", [{}, {"backprop": "{"}, {"backprop": '{"classes": 3}'}, {"other": "x"}]
)
def test_a_foreign_file_is_refused(tmp_path, metadata):
    with pytest.raises(ModelFileError, match="trained by backprop"):
        load_model(broken(tmp_path, lambda t: None, metadata))


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, model(), CONFIG)
    content = path.read_bytes()
    for size in (*range(0, len(content), 37), len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            load_model(path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_model(tmp_path / "file" / "model.safetensors", model(), CONFIG)


def test_a_file_that_cannot_be_read_is_not_called_missing(tmp_path):
    with pytest.raises(ModelFileError, match="cannot read: Is a directory"):
        load_model(tmp_path)
    with pytest.raises(ModelFileError, match="no such file"):
        load_model(tmp_path / "model.safetensors")
