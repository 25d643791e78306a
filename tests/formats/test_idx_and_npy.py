"""IDX files, and arrays of every kind."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backprop_cli.config import check_config
from backprop_cli.datasets import load_dataset
from backprop_cli.datasets.idx import read_idx
from backprop_cli.datasets.npy import read_npy
from backprop_cli.errors import DataError
from tests.formats.writers import idx, write_idx


def load(kind, path, *overrides):
    text = f"data: {{format: {kind}, path: '{path}', validation: 0}}"
    return load_dataset(check_config(text, "test", overrides).data, "float32")


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_plain_and_gzip(tmp_path, zipped):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 4, 5), dtype=np.uint8)
    write_idx(tmp_path, "train", pixels, [0, 1, 2, 0, 1, 2], zipped)
    write_idx(tmp_path, "t10k", pixels[:2], [2, 1], zipped)
    found = load("idx", tmp_path, "data.classes=[a, b, c]")
    np.testing.assert_array_equal(found.train.features, pixels.reshape(6, 20))
    assert found.test.labels.tolist() == [2, 1]
    assert found.image_shape == (1, 4, 5)
    assert found.class_names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("dtype", "code"),
    [("u1", 0x08), ("i1", 0x09), ("i2", 0x0B), ("i4", 0x0C), ("f4", 0x0D), ("f8", 0x0E)],
)
def test_every_type_of_idx(tmp_path, dtype, code):
    array = np.arange(12).reshape(3, 2, 2).astype(dtype) - (0 if dtype == "u1" else 5)
    (tmp_path / "file").write_bytes(idx(array.astype(dtype), code))
    found = read_idx(tmp_path / "file")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX header, found nothing"),
        (b"\0\0\x08", "expected an IDX header"),
        (b"PK\3\4", "expected an IDX header"),
        (b"\0\0\x07\x01" + bytes(4), "expected an IDX header"),
        (b"\0\0\x08\0", "expected an IDX header"),
        (b"\0\0\x08\x03" + bytes(8), "cut short within its header"),
        (b"\0\0\x08\x01" + struct.pack(">I", 5) + b"1234", "cut short"),
        (b"\0\0\x08\x01" + struct.pack(">I", 3) + b"1234", "longer than its header says"),
        (b"\0\0\x0e\x04" + 4 * b"\xff\xff\xff\xff", "more than the file holds"),
    ],
)
def test_idx_files_that_lie(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "file")
    (tmp_path / "file.gz").write_bytes(gzip.compress(content))
    with pytest.raises(DataError):
        read_idx(tmp_path / "file.gz")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(keep=st.integers(0, 70))
def test_a_gzip_file_cut_short(tmp_path, keep):
    content = gzip.compress(idx(np.arange(40, dtype=np.uint8), 0x08))
    (tmp_path / "file.gz").write_bytes(content[: min(keep, len(content) - 1)])
    with pytest.raises(DataError, match=r"file\.gz"):
        read_idx(tmp_path / "file.gz")


def test_images_and_labels_of_different_lengths(tmp_path):
    write_idx(tmp_path, "train", np.zeros((3, 2, 2), np.uint8), [0, 1])
    with pytest.raises(DataError, match="3 images but 2 labels"):
        load("idx", tmp_path, "data.test=0")


DTYPES = ["u1", "i1", "u2", "i2", "i4", "i8", "u4", "f2", "f4", "f8", ">f4", ">i2", ">f8", "?"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_real_dtype_and_order(tmp_path, dtype, order):
    x = np.asarray(np.arange(24).reshape(8, 3) % 2, dtype, order=order)
    y = np.array([0, 1] * 4, ">i4")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    found = load("npy", tmp_path / "x.npy", f"data.labels={tmp_path / 'y.npy'}", "data.test=0.25")
    np.testing.assert_array_equal(found.train.features, x)
    assert found.train.features.dtype.isnative
    assert found.train.labels.tolist() == y.tolist()
    assert (len(found.train), len(found.test)) == (6, 2)


def test_images_as_arrays_become_planes(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (4, 2, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x, y=[0, 1, 0, 1])
    found = load("npy", tmp_path / "d.npz", "data.test=0")
    assert found.image_shape == (3, 2, 5)
    np.testing.assert_array_equal(found.train.features.reshape(4, 3, 2, 5)[:, 1], x[..., 1])
    np.savez(tmp_path / "d.npz", x=x[..., 0], y=[0, 1, 0, 1])
    assert load("npy", tmp_path / "d.npz", "data.test=0").image_shape == (1, 2, 5)


def test_files_for_validation_and_test(tmp_path):
    for name, n in (("a", 6), ("b", 4), ("c", 2)):
        np.savez(tmp_path / f"{name}.npz", x=np.full((n, 2), n, float), y=[0, 1] * (n // 2))
    found = load(
        "npy", tmp_path / "a.npz", f"data.validation={tmp_path / 'b.npz'}",
        f"data.test={tmp_path / 'c.npz'}",
    )  # fmt: skip
    assert [len(found.split(s)) for s in ("train", "validation", "test")] == [6, 4, 2]
    np.savez(tmp_path / "c.npz", x=np.zeros((2, 3)), y=[0, 1])
    with pytest.raises(DataError, match="expected examples of 2 features"):
        load("npy", tmp_path / "a.npz", f"data.test={tmp_path / 'c.npz'}")


def test_an_npy_of_objects_or_of_nothing_is_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{}, 1], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"not a whole \.npy file"):
        read_npy(path)
    np.save(path, np.zeros((100, 3)))
    content = path.read_bytes()
    for size in (*range(0, 128, 9), len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(DataError):
            read_npy(path)
    path.write_bytes(content.replace(b"(100, 3)", b"(10**9,)"))
    with pytest.raises(DataError):
        read_npy(path)
