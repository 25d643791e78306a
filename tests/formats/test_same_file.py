"""A file is trained on, validated on or tested on, however its name is spelt."""

import os

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.formats import load_dataset
from tests.formats.broken import refused


def dot(folder, name):
    return f"./{name}"


def round_about(folder, name):
    (folder / "sub").mkdir()
    return f"sub/../{name}"


def symlink(folder, name):
    (folder / f"symlink-{name}").symlink_to(folder / name)
    return f"symlink-{name}"


def hard_link(folder, name):
    os.link(folder / name, folder / f"hard-{name}")
    return f"hard-{name}"


SPELLINGS = [dot, round_about, symlink, hard_link]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("layout", ["python", "binary"])
def test_cifar(cifar10, layout, spelling):
    folder = cifar10[0] / layout
    suffix = ".bin" if layout == "binary" else ""
    common = f"format: cifar10, path: '{folder}'"
    test = spelling(folder, f"test_batch{suffix}")
    refused(f"{common}, validation: 0, train: [data_batch_1, '{test}']",
            "data.train", test, "also a file of validation or test")  # fmt: skip
    refused(f"{common}, validation: '{test}', train: [data_batch_1]", "data.validation", test)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_cifar_files_named_twice(cifar10, spelling):
    folder = cifar10[0] / "python"
    common = f"format: cifar10, path: '{folder}', validation: 0"
    again = spelling(folder, "data_batch_1")
    refused(f"{common}, train: [data_batch_1, '{again}']", "data.train", again, "named twice")
    refused(f"{common}, train: [data_batch_1, data_batch_1]", "data_batch_1 is named twice")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_default_training_files_leave_out_a_held_one(cifar10, spelling):
    """Four of the five names are of one file; the fifth is held out, under another name."""
    folder, content = cifar10
    folder /= "python"
    for k in (3, 4, 5):
        os.link(folder / "data_batch_2", folder / f"data_batch_{k}")
    held = spelling(folder, "data_batch_1")
    text = f"data: {{format: cifar10, path: '{folder}', validation: '{held}'}}"
    found = load_dataset(check_config(text, "t").data)
    trained_on = {row.tobytes() for row in found.train.own_features()}
    assert not trained_on & {row.tobytes() for row in content["data_batch_1"][0]}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_idx(mnist, spelling):
    name = "train-images-idx3-ubyte"
    again = spelling(mnist, name)
    if "link" in spelling.__name__:  # images are found together with their labels
        spelling(mnist, "train-labels-idx1-ubyte")
    common = f"format: idx, path: '{mnist}', train: [{name}]"
    refused(f"{common}, validation: 0, test: '{again}'", "data.train", name)
    refused(f"{common}, test: 0, validation: '{again}'", "data.train", name)
    refused(f"format: idx, path: '{mnist}', test: 0, validation: 0, train: [{name}, '{again}']",
            again, "named twice")  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", ["validation", "test"])
def test_npz(tmp_path, spelling, key):
    np.savez(tmp_path / "a.npz", x=np.arange(12.0).reshape(6, 2), y=np.arange(6) % 2)
    parts = {"validation": 0, "test": 0, key: f"'{tmp_path}/{spelling(tmp_path, 'a.npz')}'"}
    more = ", ".join(f"{name}: {value}" for name, value in parts.items())
    refused(f"format: npy, path: '{tmp_path}/a.npz', {more}", f"data.{key}", "the same file")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_npy(tmp_path, spelling):
    np.save(tmp_path / "x.npy", np.arange(12.0).reshape(6, 2))
    np.save(tmp_path / "y.npy", np.arange(6) % 2)
    np.save(tmp_path / "v.npy", np.zeros((6, 2)))
    labels = f"labels: '{tmp_path}/y.npy', test_labels: '{tmp_path}/y.npy'"
    held = f"test: '{tmp_path}/{spelling(tmp_path, 'x.npy')}', validation: 0"
    refused(f"format: npy, path: '{tmp_path}/x.npy', {labels}, {held}", "data.test", "data.path")
    again = spelling(tmp_path, "v.npy") if "link" in spelling.__name__ else "./v.npy"
    held = f"test: '{tmp_path}/v.npy', validation: '{tmp_path}/{again}'"
    labels += f", validation_labels: '{tmp_path}/y.npy'"
    refused(f"format: npy, path: '{tmp_path}/x.npy', {labels}, {held}",
            "data.test", "data.validation")  # fmt: skip
