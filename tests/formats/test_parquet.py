"""Features in a column of a Parquet file."""

import json

import numpy as np
import pytest

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.formats import load_dataset, parquet
from backprop_cli.formats.array_names import ArrayNames

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N, D = 70, 4
X = np.random.default_rng(0).normal(0, 1, (N, D)).astype(np.float32)
Y = np.arange(N) % 3


def load(folder, path="d.parquet", **keys):
    text = "".join(f", {key}: {json.dumps(value)}" for key, value in keys.items())
    text = f"data: {{format: npy, path: '{folder}/{path}', validation: 0, test: 0{text}}}"
    return load_dataset(check_config(text, "t").data)


def refused(folder, *words, **keys):
    with pytest.raises(DataError) as refusal:
        load(folder, **keys)
    for word in words:
        assert word in str(refusal.value), refusal.value


def written(folder, features, labels=None, name="d.parquet", **more):
    columns = {"features": features, **({} if labels is None else {"label": labels}), **more}
    pq.write_table(pa.table(columns), folder / name, row_group_size=16)


@pytest.mark.parametrize("kind", ["fixed", "variable", "large"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8"])
def test_columns_of_lists_are_features(tmp_path, monkeypatch, kind, dtype):
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 100)
    values = (20 * np.abs(X)).astype(dtype)
    flat = pa.array(values.reshape(-1))
    offsets = np.arange(0, N * D + 1, D)
    column = {
        "fixed": lambda: pa.FixedSizeListArray.from_arrays(flat, D),
        "variable": lambda: pa.ListArray.from_arrays(offsets.astype(np.int32), flat),
        "large": lambda: pa.LargeListArray.from_arrays(offsets, flat),
    }[kind]()
    written(tmp_path, column, Y)
    found = load(tmp_path).train
    assert found.features.dtype == dtype
    np.testing.assert_array_equal(found.own_features(), values)
    np.testing.assert_array_equal(found.own_labels(), Y)


@pytest.mark.parametrize("encoded", [False, True])
def test_labels_may_be_texts(tmp_path, encoded):
    names = pa.array(np.array(["ant", "bee", "cat"])[Y].tolist())
    written(tmp_path, list(X), names.dictionary_encode() if encoded else names)
    found = load(tmp_path)
    assert found.class_names == ("ant", "bee", "cat")
    np.testing.assert_array_equal(found.train.own_labels(), Y)


def test_columns_may_be_named_and_files_be_several(tmp_path):
    for k, rows in enumerate((slice(0, 30), slice(30, N))):
        table = pa.table({"a": list(X[rows]), "b": list(2 * X[rows]), "species": Y[rows]})
        pq.write_table(table, tmp_path / f"p{k}.parquet")
    keys = {"features_name": "b", "labels_name": "species"}
    np.testing.assert_array_equal(load(tmp_path, "p?.parquet", **keys).train.own_features(), 2 * X)
    refused(tmp_path, "x, X or features, found a, b", path="p?.parquet")
    refused(tmp_path, "data.features_name", "which has a, b", path="p?.parquet", features_name="y")
    refused(tmp_path, "which has species", path="p?.parquet", features_name="a", labels_name="a")


def test_what_holds_no_features(tmp_path):
    written(tmp_path, [1.0] * N, Y)
    refused(tmp_path, "expected a column of lists of numbers, found features, label")
    rows = [*X[:40].tolist(), X[40, :3].tolist(), *X[41:].tolist()]
    written(tmp_path, rows, Y)
    refused(tmp_path, "row 40 (counted from 0) has 3 numbers in features, expected 4")
    rows[40] = None
    written(tmp_path, rows, Y)
    refused(tmp_path, "row 40 (counted from 0) has 0 numbers")
    rows[40] = [1.0, None, 2.0, 3.0]
    written(tmp_path, rows, Y)
    refused(tmp_path, "row 40 (counted from 0) lacks a number")
    written(tmp_path, list(X), [*Y[:-1].tolist(), None])
    refused(tmp_path, "row 69 (counted from 0) has no label")


def test_broken_files(tmp_path):
    written(tmp_path, list(X), Y)
    whole = (tmp_path / "d.parquet").read_bytes()
    for end in (0, 3, 100, len(whole) - 1):
        (tmp_path / "d.parquet").write_bytes(whole[:end])
        refused(tmp_path, "d.parquet")
    for place in range(0, len(whole), 37):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        (tmp_path / "d.parquet").write_bytes(changed)
        try:
            load(tmp_path)
        except DataError as error:
            assert "d.parquet" in str(error)  # noqa: PT017 - other bytes may be read as they are


def test_larger_than_memory_it_is_converted(run, tmp_path):
    written(tmp_path, list(X), Y)
    refused(tmp_path, "d.parquet: its features", "backprop data shuffle makes an .npy", memory=999)
    status, out, _ = run("data", "shuffle", tmp_path / "d.parquet", tmp_path / "o",
                         "--memory", 999)  # fmt: skip
    assert (status, "labels.npy" in out) == (0, True)
    found = load(tmp_path, "o/features.npy", labels=f"{tmp_path}/o/labels.npy", memory=999).train
    pairs = {(bytes(x), y) for x, y in zip(X, Y, strict=True)}
    x, y = found.own_features(), found.own_labels()
    assert {(bytes(a), b) for a, b in zip(x, y, strict=True)} == pairs


def test_a_probe_takes_one(run, tmp_path):
    written(tmp_path, list(X), Y)
    assert run("probe", tmp_path / "d.parquet", "--output", tmp_path / "run")[0] == 0


@pytest.mark.parametrize("rows", [1000, 32_000])
def test_neither_a_file_nor_a_row_group_is_held_in_memory(tmp_path, monkeypatch, rows):
    """Of 32 MB, in one row group or in many, a few are in memory at a time."""
    x = np.random.default_rng(0).random((32 * 1000, 128))
    column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 128)
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table({"features": column}), path, row_group_size=rows, compression="none")
    del x, column
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 500_000)
    table = parquet.read_table(path, ArrayNames())
    before, most = pa.total_allocated_bytes(), 0
    for batch in table.batches():
        assert batch.shape[1] == 128
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 8_000_000
