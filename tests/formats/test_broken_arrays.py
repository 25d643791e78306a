""".npy and .npz files that are cut short, padded, absurd, or not numbers."""

import io
import re
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_cli.errors import DataError
from tests.formats.broken import SETTINGS, load, refused


def saved(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


X = np.random.default_rng(0).standard_normal((12, 3))
Y = np.arange(12) % 3


@pytest.fixture
def arrays(tmp_path):
    (tmp_path / "x.npy").write_bytes(saved(X))
    (tmp_path / "y.npy").write_bytes(saved(Y))
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    np.savez_compressed(tmp_path / "z.npz", x=X, y=Y)
    return tmp_path


def pair(folder, more=""):
    return (
        f"format: npy, path: '{folder}/x.npy', labels: '{folder}/y.npy', test: 0, validation: 0"
        + more
    )


def archive(folder, name="d.npz", more=""):
    return f"format: npy, path: '{folder}/{name}', test: 0, validation: 0{more}"


@pytest.mark.parametrize("name", ["x.npy", "y.npy"])
def test_npy_cut_short_anywhere(arrays, name):
    content = (arrays / name).read_bytes()
    for size in range(len(content)):
        (arrays / name).write_bytes(content[:size])
        refused(pair(arrays), name)


@pytest.mark.parametrize("name", ["d.npz", "z.npz"])
def test_npz_cut_short_anywhere(arrays, name):
    content = (arrays / name).read_bytes()
    for size in range(0, len(content), 3):
        (arrays / name).write_bytes(content[:size])
        refused(archive(arrays, name), name)


def changed_anywhere(path, data):
    """Whatever bytes are changed, the file is read or refused in one line."""
    content = path.read_bytes()

    @SETTINGS
    @given(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1,
                    max_size=4))  # fmt: skip
    def check(changes):
        changed = bytearray(content)
        for at, byte in changes:
            changed[at] = byte
        path.write_bytes(changed)
        said = ""
        try:
            load(data)
        except DataError as refusal:
            said = str(refusal)
        assert len(said.splitlines()) <= 1

    check()
    path.write_bytes(content)


def test_npy_and_npz_with_changed_bytes(arrays):
    changed_anywhere(arrays / "d.npz", archive(arrays))
    changed_anywhere(arrays / "z.npz", archive(arrays, "z.npz"))
    changed_anywhere(arrays / "y.npy", pair(arrays))
    changed_anywhere(arrays / "x.npy", pair(arrays))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_another_compression_than_numpys_is_refused(arrays, method):
    """Their readers unpack at once whatever a few bytes hold, whatever size the archive claims."""
    with zipfile.ZipFile(arrays / "l.npz", "w", method) as file:
        file.writestr("x.npy", saved(X))
        file.writestr("y.npy", saved(Y))
    refused(archive(arrays, "l.npz"), "l.npz")


def test_an_archive_of_many_names_is_one_short_line(arrays):
    with zipfile.ZipFile(arrays / "l.npz", "w") as file:
        for k in range(2000):
            file.writestr(f"{k}.npy", b"")
    with pytest.raises(DataError, match="and 1990 more") as error:
        load(archive(arrays, "l.npz"))
    assert len(str(error.value)) < 500


def npy_header(text):
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999)}"),
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3)}"),
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000)}"),
        npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': 'x'}"),
        npy_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"cos\nsystem\n.",
        npy_header("__import__('os').system('echo')"),
        npy_header("{'descr': '<f8'}"),
        npy_header("[" * 5000),
        npy_header("(" * 90 + ")" * 90),
        npy_header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}") + bytes(8),
        b"\x93NUMPY\x09\x00" + bytes(100),
        b"\x93NUMPY",
        b"1.0,2.0,3.0\n",
        b"",
    ],
)
def test_npy_headers_that_lie(arrays, content):
    (arrays / "x.npy").write_bytes(content)
    refused(pair(arrays), "x.npy")
    with zipfile.ZipFile(arrays / "d.npz", "w") as file:
        file.writestr("x.npy", content)
        file.writestr("y.npy", saved(Y))
    refused(archive(arrays), "d.npz")


def test_archives_without_what_is_needed(arrays):
    np.savez(arrays / "d.npz", embeddings=X, species=Y)
    refused(archive(arrays), "an array x, X or features, found embeddings, species")
    refused(archive(arrays, more=", features_name: f"), "data.features_name", "found 'f'")
    np.savez(arrays / "d.npz", x=X)
    refused(archive(arrays), "data.labels: expected the file of labels", "d.npz, which has none")
    (arrays / "d.npz").write_bytes(saved(X))
    refused(archive(arrays), "expected an .npz")
    refused(f"format: npy, path: '{arrays}/x.npy'", "data.labels", "x.npy")
    np.savez(arrays / "d.npz", x=X, y=Y)
    refused(archive(arrays, more=f", labels: '{arrays}/y.npy'"), "data.labels: ", "already holds")
    refused(archive(arrays, "none.npz"), "none.npz")
    refused(f"format: npy, path: '{arrays}', labels: '{arrays}/y.npy'", str(arrays))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X.astype(complex), "complex128"),
        (X.astype("S5"), "S5"),
        (X.astype("U5"), "U5"),
        (X.astype(np.longdouble), "float128"),
        (np.zeros((12, 3), "M8[s]"), "datetime64"),
        (np.zeros((12, 3), "m8[s]"), "timedelta64"),
        (np.zeros(12, [("a", "f4")]), "12 of"),
        (np.zeros(12), "12 of float64"),
        (np.zeros(()), "a single value of float64"),
        (np.zeros((12, 1, 1, 1, 1)), "12 x 1 x 1 x 1 x 1"),
        (X[:11], "12 labels for the 11 examples"),
        (X[:, :0], "expected examples"),
    ],
)
def test_features_that_are_none(arrays, x, words):
    (arrays / "x.npy").write_bytes(saved(x))
    said = refused(pair(arrays), "x.npy")
    if x.size:  # NumPy itself may refuse to map an empty file
        assert words in said
    np.savez(arrays / "d.npz", x=x, y=Y)
    refused(archive(arrays), "d.npz", words)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (Y + 0.5, "row 0 (counted from 0) is 0.5"),
        (np.where(Y == 2, np.nan, Y), "row 2 (counted from 0) is nan"),
        (np.where(Y == 2, 1e300, Y), "row 2 (counted from 0) is 1e+300"),
        (Y.astype(complex), "complex128"),
        (Y.astype("M8[s]"), "datetime64"),
        (np.where(Y == 2, "", "a"), "row 2 (counted from 0) is empty"),
        (np.where(Y == 2, b"\xff", b"a"), "Unicode"),
        (np.where(Y == 2, "\ud800", "a"), "Unicode"),
        (np.eye(3, dtype=int)[Y], "argmax"),
        (np.ones((12, 3)), "exactly one label"),
        (np.full((12, 3), 0.5), "12 x 3"),
        (np.array(3), "a single value"),
        (Y * 0, "two classes"),
        (Y[:11], "11 labels for the 12 examples"),
    ],
)
def test_labels_that_are_none(arrays, y, words):
    (arrays / "y.npy").write_bytes(saved(y))
    refused(pair(arrays), words, "y.npy")
    np.savez(arrays / "d.npz", x=X, y=y)
    refused(archive(arrays), "d.npz", words)


def test_objects_are_refused_and_not_built(arrays):
    class Runs:
        def __reduce__(self):
            return open, (str(arrays / "it-ran"), "w")

    for x, y in ((np.array([[Runs()]] * 12), Y), (X, np.array([Runs()] * 12))):
        (arrays / "x.npy").write_bytes(saved(x, allow_pickle=True))
        (arrays / "y.npy").write_bytes(saved(y, allow_pickle=True))
        refused(pair(arrays), ".npy")
        np.savez(arrays / "d.npz", x=x, y=y)
        refused(archive(arrays), "d.npz")
    assert not (arrays / "it-ran").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
def test_the_first_number_that_is_not_finite_is_told_by_its_place(tmp_path, bad, dtype):
    """In a part of the file that is not the first one looked at, too."""
    x = np.zeros((3000, 500), dtype)
    x[2999, 3] = x[2345, 499] = bad
    (tmp_path / "x.npy").write_bytes(saved(x))
    (tmp_path / "y.npy").write_bytes(saved(np.arange(3000) % 2))
    refused(pair(tmp_path), f"features[2345, 499] is {bad}")


def test_numbers_beyond_float32(arrays):
    x = X.copy()
    x[4, 1] = -1e39
    np.savez(arrays / "d.npz", x=x, y=Y)
    refused(archive(arrays), "features[4, 1] is -1e+39", "float32")
    assert load(archive(arrays), "float64").train.features[4, 1] == -1e39


@pytest.mark.parametrize("part", ["validation", "test"])
def test_files_of_other_parts_are_checked_as_well(arrays, part):
    def other(x, y):
        np.savez(arrays / "other.npz", x=x, y=y)
        return f"format: npy, path: '{arrays}/d.npz', {part}: '{arrays}/other.npz'"

    bad = X.copy()
    bad[5, 0] = np.nan
    refused(other(bad, Y), "other.npz", "features[5, 0] is nan")
    refused(other(X[:, :2], Y), "other.npz", "3 features", "found 2")
    refused(other(X, Y + 1), "other.npz", "row 2 (counted from 0): label '3' is none of the 3")
    refused(other(X.reshape(12, 3, 1), Y), "other.npz")
    refused(other(X[:0], Y[:0]), "other.npz", "expected examples")
    # one class, or a class missing, is fine where nothing is trained
    remaining = "validation" if part == "test" else "test"
    found = load(other(X, Y * 0) + f", {remaining}: 0")
    assert len(found.split(part)) == 12


@pytest.mark.parametrize(
    "path",
    ["a" * 300, "a" * 5000, "''''"],
    ids=["name", "long", "quote"],
)
@pytest.mark.parametrize("kind", ["cifar10", "cifar100", "idx", "npz", "npy"])
def test_paths_that_cannot_be(path, kind, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if kind in ("npz", "npy"):
        path = path[:-1] + f'.{kind}"' if path[0] == '"' else f"{path}.{kind}"
        path = f"'a.{kind}'" if path.startswith("''''") else path
        refused(f"format: npy, path: {path}" + (", labels: y.npy" if kind == "npy" else ""))
    else:
        refused(f"format: {kind}, path: {path}")


@pytest.mark.parametrize("name", ["a" * 300, "'../none'", "'.'", "'/'"])
def test_names_of_files_that_cannot_be(name, mnist):
    refused(f"format: cifar10, path: '{mnist}', test: 0, train: [{name}]")
    said = refused(f"format: idx, path: '{mnist}', test: 0, train: [{name}]")
    assert re.search("no such file|images-idx3|too long", said)
