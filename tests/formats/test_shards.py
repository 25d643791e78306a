"""Features in several files, in files with several arrays, and in files that are something else."""

import itertools
import json
import os
import pathlib
import struct
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.formats import load_dataset
from backprop_cli.sources import StoredFeatures, survey

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (60, 4)).astype(np.float32)
Y = np.arange(60) % 3
CUTS = [0, 11, 12, 40, 60]


def load(folder, path, **keys):
    text = "".join(f", {key}: {json.dumps(value)}" for key, value in keys.items())
    text = f"data: {{format: npy, path: '{folder}/{path}', validation: 0, test: 0{text}}}"
    return load_dataset(check_config(text, "t").data)


def refused(folder, path, *words, **keys):
    with pytest.raises(DataError) as refusal:
        load(folder, path, **keys)
    for word in words:
        assert word in str(refusal.value), refusal.value


@pytest.fixture(params=["all", 900], ids=["in memory", "in files"])
def memory(request):
    return request.param


@pytest.fixture
def shards(tmp_path):
    for k, (a, b) in enumerate(itertools.pairwise(CUTS)):
        np.save(tmp_path / f"x{k}.npy", X[a:b])
        np.save(tmp_path / f"y{k}.npy", Y[a:b])
        save_file({"x": X[a:b], "y": Y[a:b]}, tmp_path / f"s{k}.safetensors")
        np.savez(tmp_path / f"a{k}.npz", X=X[a:b], Y=Y[a:b])
        (tmp_path / f"t{k}.txt").write_text("\n".join(f"class {y}" for y in Y[a:b]))
    np.save(tmp_path / "labels.npy", Y)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "labels", "keys"),
    [
        ("x?.npy", "y?.npy", {}),
        ("x*.npy", "labels.npy", {}),
        ("x?.npy", "t?.txt", {}),
        ("s?.safetensors", None, {}),
        ("s[0-3].safetensors", None, {"features_name": "x", "labels_name": "y"}),
    ],
)
def test_shards_follow_each_other(shards, memory, path, labels, keys):
    more = {} if labels is None else {"labels": f"{shards}/{labels}"}
    found = load(shards, path, memory=memory, **keys, **more)
    assert isinstance(found.train.features, StoredFeatures) == (memory == 900)
    np.testing.assert_array_equal(found.train.own_features(), X)
    np.testing.assert_array_equal(found.train.own_labels(), Y)
    assert found.train.source.name.endswith(path)


def test_shards_that_cannot_be_read_in_blocks(shards):
    np.testing.assert_array_equal(load(shards, "a?.npz").train.own_features(), X)
    refused(shards, "a?.npz", "a0.npz: its features do not fit in data.memory", memory=500)
    np.save(shards / "x2.npy", np.asfortranarray(X[12:40]))
    keys = {"labels": f"{shards}/y?.npy", "memory": 100}
    refused(shards, "x?.npy", "x2.npy", "save them row by row", **keys)


def test_shards_of_several_sizes_or_types_are_refused(shards):
    keys = {"labels": f"{shards}/labels.npy"}
    np.save(shards / "x2.npy", X[12:40, :3])
    refused(shards, "x?.npy", "x2.npy: 28 x 3 of float32", "x0.npy is 11 x 4 of float32", **keys)
    np.save(shards / "x2.npy", X[12:40].astype("f2"))
    refused(shards, "x?.npy", "x2.npy: 28 x 4 of float16", **keys)
    np.save(shards / "x2.npy", X[12:30])
    refused(shards, "x?.npy", "60 labels for the 50 examples", **keys)


def test_a_file_of_labels_that_is_a_single_value(shards):
    np.save(shards / "y1.npy", np.int64(2))
    refused(shards, "x?.npy", "expected labels of one kind and shape", labels=f"{shards}/y?.npy")


def test_files_of_labels_go_with_those_of_features_one_by_one(shards):
    """The numbers of all examples and labels agree, but not those of each pair of files."""
    (shards / "y0.npy").rename(shards / "y9.npy")
    refused(shards, "x?.npy", "y1.npy: 1 labels for the 11 examples of", "x0.npy",
            labels=f"{shards}/y?.npy")  # fmt: skip


@pytest.mark.parametrize("what", ["features", "labels"])
def test_a_bad_value_is_named_by_its_own_file(shards, memory, what):
    """Row 3 of the third file, which is row 15 of all."""
    if what == "features":
        broken = X[12:40].copy()
        broken[3, 1] = np.nan
        np.save(shards / "x2.npy", broken)
        found = load(shards, "x?.npy", memory=memory, labels=f"{shards}/y?.npy")
        with pytest.raises(DataError, match=r"x2\.npy: features\[3, 1\] is nan"):
            survey(found, "none", "float32")
        return
    (shards / "u").mkdir()
    for k, (a, b) in enumerate(itertools.pairwise(CUTS)):
        names = [f"class {y}" for y in Y[a:b]]
        names[3:4] = ["another"] if k == 2 else names[3:4]
        (shards / f"u/t{k}.txt").write_text("\n".join(names))
    np.save(shards / "test.npy", X)
    text = (
        f"data: {{format: npy, path: '{shards}/x?.npy', labels: '{shards}/t?.txt', validation: 0, "
        f"test: '{shards}/test.npy', test_labels: '{shards}/u/t?.txt', memory: {memory}}}"
    )
    with pytest.raises(DataError, match=r"u/t2.txt: row 3 \(counted from 0\): label 'another' is"):
        load_dataset(check_config(text, "t").data)


def test_names_without_zeros_are_refused_where_the_order_matters(tmp_path):
    for k in range(11):
        np.save(tmp_path / f"x-{k}.npy", X[5 * k : 5 * k + 5])
        np.save(tmp_path / f"y-{k}.npy", Y[5 * k : 5 * k + 5])
    np.save(tmp_path / "y.npy", Y[:55])
    refused(tmp_path, "x-*.npy", "x-10.npy comes before x-2.npy", labels=f"{tmp_path}/y.npy")
    found = load(tmp_path, "x-*.npy", labels=f"{tmp_path}/y-*.npy").train
    order = [0, 1, 10, *range(2, 10)]
    expected = np.concatenate([X[5 * k : 5 * k + 5] for k in order])
    np.testing.assert_array_equal(found.own_features(), expected)


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    np.savez(tmp_path / "d[1].npz", x=X, y=Y)
    np.savez(tmp_path / "d1.npz", x=X[:9], y=Y[:9])
    assert len(load(tmp_path, "d[1].npz").train) == 60
    refused(tmp_path, "e[1].npz", "e[1].npz: no file has such a name")


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link"])
def test_no_match_of_a_pattern_is_left_out(shards, kind):
    for name in ("x2.npy", "y2.npy"):
        path = shards / name
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(shards / "unmounted")
    refused(shards, "x?.npy", "x2.npy: cannot read: ", labels=f"{shards}/y?.npy")


def test_parts_share_no_file_of_a_pattern(shards):
    keys = {"test": f"{shards}/s2.safetensors"}
    text = ", ".join(f"{k}: '{v}'" for k, v in keys.items())
    text = f"data: {{format: npy, path: '{shards}/s?.safetensors', validation: 0, {text}}}"
    with pytest.raises(DataError, match="is the same file as"):
        load_dataset(check_config(text, "t").data)


def bfloat16_file(path, values, labels):
    """Write a file by the published layout: the length of the header, the header, the bytes."""
    bits = (values.view("<u4") >> 16).astype("<u2").tobytes()
    own = labels.astype("<i8").tobytes()
    header = json.dumps(
        {
            "__metadata__": {"by": "hand"},
            "emb": {"dtype": "BF16", "shape": values.shape, "data_offsets": [0, len(bits)]},
            "labels": {
                "dtype": "I64", "shape": labels.shape,
                "data_offsets": [len(bits), len(bits) + len(own)],
            },
        }
    ).encode()  # fmt: skip
    path.write_bytes(struct.pack("<Q", len(header)) + header + bits + own)


def test_bfloat16_tensors_are_read_as_float32(tmp_path, memory):
    bfloat16_file(tmp_path / "d.safetensors", X, Y)
    found = load(tmp_path, "d.safetensors", features_name="emb", memory=memory).train
    expected = (X.view("<u4") & 0xFFFF0000).view("<f4")
    np.testing.assert_array_equal(found.own_features(), expected)
    np.testing.assert_array_equal(found.own_labels(), Y)
    refused(tmp_path, "d.safetensors", "x, X or features, found emb, labels")


def test_broken_safetensors(tmp_path):
    path = tmp_path / "d.safetensors"
    bfloat16_file(path, X, Y)
    whole = path.read_bytes()
    for end in (0, 4, 8, 50, len(whole) - 1):
        path.write_bytes(whole[:end])
        refused(tmp_path, "d.safetensors", "d.safetensors")
    save_file({"y": Y}, path)
    refused(tmp_path, "d.safetensors", "of int64", labels_name="y")
    refused(tmp_path, "d.safetensors", "data.labels_name", "which has y", labels_name="z")


@pytest.mark.parametrize("names", [("x", "y"), ("X", "Y"), ("X", "y"), ("features", "labels")])
def test_usual_names_of_arrays_are_found(tmp_path, names):
    np.savez(tmp_path / "d.npz", **dict(zip(names, (X, Y), strict=True)), other=Y)
    found = load(tmp_path, "d.npz").train
    np.testing.assert_array_equal(found.own_features(), X)
    np.testing.assert_array_equal(found.own_labels(), Y)


def test_other_names_of_arrays_are_given(tmp_path):
    np.savez(tmp_path / "d.npz", a=X, b=Y, x=X[:, :2])
    found = load(tmp_path, "d.npz", features_name="a", labels_name="b").train
    np.testing.assert_array_equal(found.own_features(), X)
    np.savez(tmp_path / "one.npz", whatever=X)
    np.save(tmp_path / "y.npy", Y)
    assert len(load(tmp_path, "one.npz", labels=f"{tmp_path}/y.npy").train) == 60


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.pt", "numpy.save('features.npy', torch.load("),
        ("x.pkl", "is a pickle, which could run code when it is read"),
        ("x.csv", "numpy.loadtxt("),
        ("x.tar.gz", "is packed; unpack it"),
        ("x.zip", "is packed; unpack it"),
        ("x.bin", "expected a name that ends in .npy, .npz, .safetensors or .parquet"),
        ("sub", "expected a file, found a folder; it has"),
        ("none.npy", "none.npy"),
    ],
)
def test_common_mistakes_get_the_way_out(tmp_path, name, words):
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    np.save(tmp_path / "sub" / "deep" / "a.npy", X)
    if not name.startswith(("sub", "none")):
        (tmp_path / name).write_bytes(b"1,2\n")
    refused(tmp_path, name, words, labels=f"{tmp_path}/y.npy")


def test_features_whose_columns_are_examples(tmp_path):
    np.save(tmp_path / "x.npy", np.ascontiguousarray(X.T))
    np.save(tmp_path / "y.npy", Y)
    words = "60 labels for the 4 examples", "are examples its columns?", "4 x 60", "x.T"
    refused(tmp_path, "x.npy", *words, labels=f"{tmp_path}/y.npy")


def test_a_folder_too_high(tmp_path):
    inner = tmp_path / "top" / "cifar-10-batches-bin"
    inner.mkdir(parents=True)
    (inner / "test_batch.bin").write_bytes(b"")
    data = check_config(f"data: {{format: cifar10, path: '{tmp_path}/top'}}", "t").data
    with pytest.raises(DataError, match=r"did you mean data.path: .*cifar-10-batches-bin\?"):
        load_dataset(data)
    packed = tmp_path / "cifar-10.tar.gz"
    packed.write_bytes(b"")
    with pytest.raises(DataError, match="found a file; unpack it"):
        load_dataset(check_config(f"data: {{format: cifar10, path: '{packed}'}}", "t").data)


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files as Linux lists them")
def test_a_thousand_shards_need_no_thousand_open_files(tmp_path, memory):
    def in_use():
        return len(list(pathlib.Path("/proc/self/fd").iterdir()))

    for k in range(60):
        np.save(tmp_path / f"x{k:02}.npy", X[k : k + 1])
        np.save(tmp_path / f"y{k:02}.npy", Y[k : k + 1])
    before = in_use()
    dataset = load(tmp_path, "x*.npy", labels=str(tmp_path / "y*.npy"), memory=memory)
    assert in_use() < before + 30
    np.testing.assert_array_equal(dataset.train.own_features(), X)
