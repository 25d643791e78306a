"""CIFAR-10 and CIFAR-100: both layouts, and files that are not what they say."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backprop_cli.config import check_config
from backprop_cli.datasets import load_dataset, python2_pickle
from backprop_cli.errors import DataError
from tests.formats.writers import (
    images,
    python3_pickle,
    write_cifar10,
    write_cifar100,
)
from tests.formats.writers import python2_pickle as written_by_python2


def load(kind, path, *overrides):
    text = f"data: {{format: {kind}, path: {path}, validation: 0}}"
    return load_dataset(check_config(text, "test", overrides).data, "float32")


@pytest.fixture
def cifar10(tmp_path):
    batches = {f"data_batch_{k}": (images(4, k), [0, 1, 2, k]) for k in range(1, 6)}
    batches["test_batch"] = (images(3, 9), [9, 8, 7])
    write_cifar10(tmp_path / "cifar", batches)
    return tmp_path / "cifar", batches


@pytest.mark.parametrize("layout", ["py", "bin"])
def test_cifar10_is_read_in_both_layouts(cifar10, layout):
    folder, batches = cifar10
    found = load("cifar10", folder / layout)
    training = [batches[f"data_batch_{k}"] for k in range(1, 6)]
    np.testing.assert_array_equal(found.train.features, np.concatenate([p for p, _ in training]))
    assert found.train.labels.tolist() == [label for _, labels in training for label in labels]
    np.testing.assert_array_equal(found.test.features, batches["test_batch"][0])
    assert found.test.labels.tolist() == [9, 8, 7]
    assert found.train.features.dtype == np.uint8
    assert found.class_names == tuple(f"name_{k}" for k in range(10))
    assert found.image_shape == (3, 32, 32)


@pytest.mark.parametrize("layout", ["py", "bin"])
def test_files_can_be_chosen(cifar10, layout):
    folder, batches = cifar10
    found = load(
        "cifar10", folder / layout, "data.train=[data_batch_3]", "data.validation=data_batch_2",
        "data.test=data_batch_5",
    )  # fmt: skip
    for split, name in ((found.train, 3), (found.validation, 2), (found.test, 5)):
        np.testing.assert_array_equal(split.features, batches[f"data_batch_{name}"][0])


def test_a_pickle_of_python_3_is_read_too(tmp_path):
    batches = {name: (images(4), [0, 1, 2, 3]) for name in ("data_batch_1", "test_batch")}
    write_cifar10(tmp_path / "cifar", batches, python3_pickle)
    found = load("cifar10", tmp_path / "cifar" / "py", "data.train=[data_batch_1]")
    np.testing.assert_array_equal(found.train.features, images(4))


@pytest.mark.parametrize("layout", ["py", "bin"])
@pytest.mark.parametrize(("kind", "column"), [("fine", 2), ("coarse", 1)])
def test_cifar100_has_fine_and_coarse_labels(tmp_path, layout, kind, column):
    batches = {
        "train": (images(3, 1), [3, 19, 0], [99, 5, 40]),
        "test": (images(2, 2), [7, 1], [0, 98]),
    }
    write_cifar100(tmp_path / "c", batches)
    found = load("cifar100", tmp_path / "c" / layout, f"data.labels={kind}")
    assert found.train.labels.tolist() == batches["train"][column]
    assert found.test.labels.tolist() == batches["test"][column]
    assert found.class_names[0] == f"{kind}0"
    assert found.n_classes == {"fine": 100, "coarse": 20}[kind]
    np.testing.assert_array_equal(found.train.features, batches["train"][0])


def test_a_missing_file_is_named_with_what_there_is(cifar10):
    folder, _ = cifar10
    (folder / "py" / "data_batch_4").unlink()
    with pytest.raises(DataError, match=r"data_batch_4: no such file; the folder has data_batch"):
        load("cifar10", folder / "py")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(keep=st.integers(0, 12_400))
def test_a_pickle_cut_short_is_a_data_error(tmp_path, keep):
    content = written_by_python2(images(4), labels=[0, 1, 2, 3])
    assert keep < len(content)
    (tmp_path / "batch").write_bytes(content[:keep])
    with pytest.raises(DataError, match="batch"):
        python2_pickle.load(tmp_path / "batch")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 230), byte=st.integers(0, 255))
def test_a_pickle_with_a_wrong_byte_is_read_or_refused(tmp_path, at, byte):
    content = bytearray(written_by_python2(images(1), labels=[0]))
    content[at if at < 150 else at - 231] = byte
    (tmp_path / "batch").write_bytes(content)
    try:
        found = python2_pickle.load(tmp_path / "batch")
    except DataError:
        return
    assert isinstance(found, dict)


class Runs:
    """Unpickling this runs a function: with the plain pickle module, that is."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "hostile",
    [
        Runs(os.system, "touch {}"),
        Runs(eval, "open('{}', 'w')"),
        Runs(getattr, os, "system"),
        Runs(np.load, "{}"),
        Runs(np.frombuffer, b"12"),
        Runs(__import__("copyreg")._reconstructor, object, object, None),
        Runs(bytearray, 10),
    ],
    ids=lambda hostile: hostile.call[0].__name__,
)
def test_a_hostile_pickle_runs_nothing(tmp_path, hostile):
    mark = tmp_path / "it ran"
    function, args = hostile.call
    args = tuple(a.format(mark) if isinstance(a, str) else a for a in args)
    try:
        content = pickle.dumps({b"data": Runs(function, *args)}, protocol=2)
    except TypeError:  # a module cannot be pickled: name it as a global, by opcode
        content = b"\x80\x02cos\nsystem\n."
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(DataError, match="it asks to run") as refusal:
        python2_pickle.load(tmp_path / "batch")
    assert "\n" not in str(refusal.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({b"data": 3, b"labels": []}, "expected data of n x 3072"),
        ({b"labels": [1]}, "expected data of n x 3072"),
        ([1, 2], "expected a dictionary"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "2 images but 1 labels"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, "labels from 10 to 10"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [-1]}, "labels from -1 to -1"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": ["x"]}, "list of integers"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": 5}, "list of integers"),
        ({b"data": np.zeros((1, 3071), np.uint8), b"labels": [0]}, "n x 3072"),
        ({b"data": np.zeros((1, 3072), np.float32), b"labels": [0]}, "expected u1"),
        ({b"data": np.zeros((2, 3, 512), np.uint8), b"labels": [0]}, "not a CIFAR file"),
        ({b"data": np.array([{}, 1], object), b"labels": [0]}, "not a CIFAR file"),
    ],
)
def test_a_pickle_of_something_else_is_refused(cifar10, content, message):
    folder, _ = cifar10
    (folder / "py" / "data_batch_2").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match=message):
        load("cifar10", folder / "py")


def test_a_binary_file_cut_short_is_refused(cifar10):
    folder, _ = cifar10
    path = folder / "bin" / "data_batch_1.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="multiple of 3073 bytes"):
        load("cifar10", folder / "bin")
    path.write_bytes(b"")
    found = load("cifar10", folder / "bin")
    assert len(found.train) == 16
