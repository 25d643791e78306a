"""CIFAR in the bytes of the published files: every opcode that Python 2 wrote, memo and all."""

import pathlib
import pickle
import re
import struct
import tracemalloc
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.config import check_config
from backprop_cli.errors import DataError
from backprop_cli.formats import cifar, load_dataset

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60)
RECORD = 3072
NAMES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def short(text):
    return b"U" + bytes([len(text)]) + text.encode()


def integers(values):
    return b"".join(b"K" + bytes([value]) for value in values)


def published(pixels, memo=True, **labels):
    """Return a batch as cPickle, protocol 2, wrote it; numbers after ``q`` are its memo's."""
    count = iter(range(1, 200))

    def put():
        return b"q" + bytes([next(count)]) if memo else b""

    rows = b"M" + struct.pack("<H", len(pixels))
    parts = [
        b"\x80\x02}",
        put(),
        b"(",
        short("batch_label"),
        put(),
        short("training batch 1"),
        put(),
    ]
    for key, values in labels.items():
        parts += [short(key), put(), b"]", put(), b"(", integers(values), b"e"]
    parts += [
        short("data"), put(), b"cnumpy.core.multiarray\n_reconstruct\n", put(),
        b"cnumpy\nndarray\n", put(), b"K\x00\x85", short("b"), put(), b"\x87R", put(),
        b"(K\x01", rows, b"M\x00\x0c\x86", b"cnumpy\ndtype\n", put(), short("u1"),
        b"K\x00K\x01\x87R", put(), b"(K\x03", short("|"), b"NNN",
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T", struct.pack("<i", pixels.nbytes),
        pixels.tobytes(), b"tb", short("filenames"), put(), b"]", put(), b"(",
        b"".join(short(f"image_s_{k:06}.png") + put() for k in range(len(pixels))), b"eu.",
    ]  # fmt: skip
    return b"".join(parts)


def pixels_of(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, RECORD), dtype=np.uint8)


def meta_of(**names):
    lists = b"".join(
        short(key) + b"](" + b"".join(map(short, values)) + b"e" for key, values in names.items()
    )
    return b"\x80\x02}q\x01(" + short("num_vis") + b"M\x00\x0c" + lists + b"u."


def load(kind, path, *overrides):
    text = f"data: {{format: {kind}, path: {path}, validation: 0}}"
    return load_dataset(check_config(text, "test", overrides).data, "float32")


@pytest.fixture
def cifar10(tmp_path):
    """Two training files and a test file, in both layouts."""
    names = ["data_batch_1", "data_batch_2", "test_batch"]
    content = {
        name: (pixels_of(5, k), np.arange(5) * 2 % 10 + k % 2) for k, name in enumerate(names)
    }
    for layout in ("python", "binary"):
        (tmp_path / layout).mkdir()
    for name, (pixels, labels) in content.items():
        (tmp_path / "python" / name).write_bytes(published(pixels, labels=labels))
        records = b"".join(bytes([y]) + x.tobytes() for x, y in zip(pixels, labels, strict=True))
        (tmp_path / "binary" / f"{name}.bin").write_bytes(records)
    (tmp_path / "python" / "batches.meta").write_bytes(meta_of(label_names=NAMES))
    (tmp_path / "binary" / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return tmp_path, content


TWO = "data.train=[data_batch_1, data_batch_2]"
MANY = 40  # images of more than 65,536 bytes, which are read straight to their place


def test_both_layouts_are_the_arrays_that_were_written(cifar10):
    folder, content = cifar10
    first, second, test = content.values()
    for layout in ("python", "binary"):
        found = load("cifar10", folder / layout, TWO)
        np.testing.assert_array_equal(found.train.features, np.concatenate([first[0], second[0]]))
        np.testing.assert_array_equal(found.train.labels, np.concatenate([first[1], second[1]]))
        np.testing.assert_array_equal(found.test.features, test[0])
        assert found.train.features.dtype == np.uint8
        assert found.class_names == tuple(NAMES)
        assert found.image_shape == (3, 32, 32)


def test_the_memo_makes_no_difference(cifar10):
    folder, content = cifar10
    pixels, labels = content["data_batch_1"]
    path = folder / "python" / "data_batch_1"
    path.write_bytes(published(pixels, memo=False, labels=labels))
    found = load("cifar10", folder / "python", "data.train=[data_batch_1]")
    np.testing.assert_array_equal(found.train.features, pixels)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("key", [str, str.encode])
@pytest.mark.parametrize("n", [5, MANY])
def test_pickles_of_python_3_are_read_whatever_their_protocol(cifar10, protocol, key, n):
    folder, content = cifar10
    pixels, labels = pixels_of(n, 7), np.arange(n) % 10
    batch = {key("data"): pixels, key("labels"): labels.tolist()}
    (folder / "python" / "data_batch_1").write_bytes(pickle.dumps(batch, protocol))
    found = load("cifar10", folder / "python", TWO)
    second = content["data_batch_2"]
    np.testing.assert_array_equal(found.train.features, np.concatenate([pixels, second[0]]))
    assert found.train.labels.tolist() == [*labels, *second[1]]


@pytest.mark.parametrize("layout", ["python", "binary"])
def test_large_files_after_one_another(cifar10, layout):
    folder, _ = cifar10
    pixels, labels = pixels_of(2 * MANY, 8), np.arange(2 * MANY) % 10
    for k in (0, 1):
        x, y = pixels[k::2], labels[k::2]
        (folder / "python" / f"data_batch_{k + 1}").write_bytes(published(x, labels=y))
        records = b"".join(bytes([b]) + a.tobytes() for a, b in zip(x, y, strict=True))
        (folder / "binary" / f"data_batch_{k + 1}.bin").write_bytes(records)
    found = load("cifar10", folder / layout, TWO)
    expected = np.concatenate([pixels[0::2], pixels[1::2]])
    np.testing.assert_array_equal(found.train.features, expected)
    assert found.train.labels.tolist() == [*labels[0::2], *labels[1::2]]


def test_another_large_piece_before_the_pixels(cifar10):
    folder, _ = cifar10
    pixels, labels = pixels_of(MANY, 9), [3, 7] * (MANY // 2)
    batch = {"notes": b"n" * 70_000, "data": pixels, "labels": labels, "more": b"m" * 70_000}
    (folder / "python" / "data_batch_1").write_bytes(pickle.dumps(batch, 3))
    found = load("cifar10", folder / "python", "data.train=[data_batch_1]")
    np.testing.assert_array_equal(found.train.features, pixels)
    assert found.train.labels.tolist() == labels


def test_cifar100_both_layouts_and_both_labels(tmp_path):
    fine, coarse = [99, 0, 50, 7], [19, 3, 0, 11]
    pixels = pixels_of(4)
    (tmp_path / "python").mkdir()
    (tmp_path / "binary").mkdir()
    for name in ("train", "test"):
        batch = published(pixels, fine_labels=fine, coarse_labels=coarse)
        (tmp_path / "python" / name).write_bytes(batch)
        records = b"".join(
            bytes([c, f]) + x.tobytes() for x, c, f in zip(pixels, coarse, fine, strict=True)
        )
        (tmp_path / "binary" / f"{name}.bin").write_bytes(records)
    for layout in ("python", "binary"):
        for kind, labels, count in (("fine", fine, 100), ("coarse", coarse, 20)):
            found = load("cifar100", tmp_path / layout, f"data.labels={kind}")
            assert found.train.labels.tolist() == labels
            assert found.n_classes == count
            np.testing.assert_array_equal(found.test.features, pixels)
        assert load("cifar100", tmp_path / layout).n_classes == 100


def test_without_a_file_of_names_classes_are_numbered(cifar10):
    folder, _ = cifar10
    (folder / "python" / "batches.meta").unlink()
    found = load("cifar10", folder / "python", TWO)
    assert found.class_names == tuple("0123456789")


@pytest.mark.parametrize("layout", ["python", "binary"])
def test_ten_classes_are_ten_whatever_the_labels_say(cifar10, layout):
    """Without the names too: a label of 10 is no eleventh class, and a rare one is no mistake."""
    folder, _ = cifar10
    for path in (folder / layout).glob("batches.meta*"):
        path.unlink()
    pixels = pixels_of(11)

    def write(labels):
        (folder / "python" / "data_batch_1").write_bytes(published(pixels, labels=labels))
        records = b"".join(bytes([y]) + x.tobytes() for x, y in zip(pixels, labels, strict=True))
        (folder / "binary" / "data_batch_1.bin").write_bytes(records)

    write(range(11))
    with pytest.raises(DataError, match=r"data_batch_1.*labels from 0 to 10"):
        load("cifar10", folder / layout, "data.train=[data_batch_1]")
    write([0, 9] * 5 + [5])
    assert load("cifar10", folder / layout, "data.train=[data_batch_1]").n_classes == 10


@pytest.mark.parametrize("layout", ["python", "binary"])
def test_a_validation_file_is_not_trained_on(cifar10, layout):
    """Named as validation alone, it is no longer among the default training files."""
    folder, content = cifar10
    for number in (3, 4, 5):
        pixels, labels = pixels_of(5, number), np.arange(5)
        (folder / "python" / f"data_batch_{number}").write_bytes(published(pixels, labels=labels))
        records = b"".join(bytes([y]) + x.tobytes() for x, y in zip(pixels, labels, strict=True))
        (folder / "binary" / f"data_batch_{number}.bin").write_bytes(records)
    try:
        found = load("cifar10", folder / layout, "data.validation=data_batch_2")
    except DataError:
        return  # refusing is as good
    held = {row.tobytes() for row in content["data_batch_2"][0]}
    trained = {found.train.features[row].tobytes() for row in found.train.rows}
    assert not held & trained


@pytest.mark.parametrize(
    ("missing", "words"),
    [("data_batch_2", "data_batch_2: no such file; the folder has data_batch_1"),
     ("test_batch", "test_batch: no such file; the folder has")],
)  # fmt: skip
def test_a_missing_file_is_told_with_what_is_there(cifar10, missing, words):
    folder, _ = cifar10
    (folder / "python" / missing).unlink()
    with pytest.raises(DataError, match=words) as refused:
        load("cifar10", folder / "python", TWO)
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_none(tmp_path):
    for path, words in ((tmp_path / "none", "found nothing there"), (tmp_path, "has no files")):
        with pytest.raises(DataError, match=words):
            load("cifar10", path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder with data files, found a file"):
        load("cifar10", tmp_path / "file")


WHOLE = published(pixels_of(2), labels=[0, 1])
BINARY = b"".join(bytes([y]) + x.tobytes() for x, y in zip(pixels_of(3), (0, 1, 2), strict=True))


def refused(folder, layout, content):
    name = "data_batch_1" if layout == "python" else "data_batch_1.bin"
    path = folder / layout / name
    path.write_bytes(content)
    with pytest.raises(DataError) as refusal:
        load("cifar10", folder / layout, "data.train=[data_batch_1]")
    said = str(refusal.value)
    assert name in said
    assert len(said.splitlines()) == 1
    return said


def test_a_pickle_cut_short_anywhere_is_one_line(cifar10):
    folder, _ = cifar10

    @SETTINGS
    @given(st.integers(0, len(WHOLE) - 1))
    def check(size):
        refused(folder, "python", WHOLE[:size])

    check()
    for size in (*range(0, 300, 7), len(WHOLE) - 1, len(WHOLE) - 2, len(WHOLE) - 60):
        assert re.search("cut short|truncated|asks to run", refused(folder, "python", WHOLE[:size]))


def test_a_binary_file_cut_short_within_an_image_is_one_line(cifar10):
    folder, _ = cifar10

    @SETTINGS
    @given(st.integers(0, len(BINARY) - 1).filter(lambda size: size % (RECORD + 1)))
    def check(size):
        refused(folder, "binary", BINARY[:size])

    check()
    refused(folder, "binary", b"")
    refused(folder, "binary", BINARY + b"\0")


@pytest.mark.parametrize("layout", ["python", "binary"])
def test_a_file_that_grows_while_it_is_read_is_one_line(cifar10, layout, monkeypatch):
    """Its size was asked before: as if it had been one image then."""
    folder, _ = cifar10
    name = "data_batch_1" if layout == "python" else "data_batch_1.bin"
    sizes = iter([RECORD])
    stat = pathlib.Path.stat

    def earlier(self, **options):
        found = stat(self, **options)
        if self.name == name and (size := next(sizes, None)):
            return types.SimpleNamespace(st_size=size, st_mode=found.st_mode)
        return found

    monkeypatch.setattr(cifar, "existing", lambda directory, *names: directory / name)
    monkeypatch.setattr(pathlib.Path, "stat", earlier)
    with pytest.raises(DataError, match=f"{name}: became longer while it was read"):
        cifar._read_files(folder / layout, ["data_batch_1"], cifar.CIFAR10)


def test_a_pickle_that_asks_for_gigabytes_gets_no_more_than_it_holds(cifar10):
    folder, _ = cifar10
    tracemalloc.start()
    try:
        refused(folder, "python", b"\x80\x02}(U\x04dataT\xff\xff\xff\x7f" + bytes(100_000) + b"u.")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


HOSTILE = {
    "os.system": b"cos\nsystem\n(S'touch %s'\ntR.",
    "posix.system": b"cposix\nsystem\n(S'touch %s'\ntR.",
    "subprocess": b"csubprocess\ngetoutput\n(S'touch %s'\ntR.",
    "eval": b'c__builtin__\neval\n(S\'open("%s", "w")\'\ntR.',
    "exec of Python 3": b'cbuiltins\nexec\n(S\'open("%s", "w")\'\ntR.',
    "open": b"cio\nopen\n(S'%s'\nS'w'\ntR.",
    "a shape of bytes": (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(S'x'\nI2500000000\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntRI00\nS''\ntb."
    ),
    "an array never built": b"}(S'data'\ncnumpy.core.multiarray\n_reconstruct\n(tRu.",
    "getattr": b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR.",
    "numpy.load": b"cnumpy\nload\n(S'%s'\ntR.",
    "numpy.memmap": b"cnumpy\nmemmap\n(S'%s'\nS'u1'\nS'w+'\nK\x00K\x01tR.",
    "copyreg": b"ccopyreg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
    "copy_reg": b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR.",
    "inst": b"(S'touch %s'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'touch %s'\no.",
    "stack_global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.",
    "dotted": b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__init__\x93).",
    "newobj": b"\x80\x02cos\npopen\n(S'touch %s'\nt\x81.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent id": b"Pos.system\n.",
    "attribute of a stand-in": b"cnumpy\ndtype.__init__\n.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_one_line_and_runs_nothing(cifar10, name):
    folder, _ = cifar10
    mark = folder / "it-ran"
    refused(folder, "python", HOSTILE[name].replace(b"%s", str(mark).encode()))
    inner = HOSTILE[name].replace(b"%s", str(mark).encode()).removeprefix(b"\x80\x02")[:-1]
    refused(folder, "python", b"\x80\x02}(U\x04data" + inner + b"u.")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff\xe0 a picture",
        b"\x1f\x8b\x08 a gzip file",
        b"PK\x03\x04 a zip file",
        b"<!DOCTYPE html>",
        b"N.", b"}.", b"].", b"K\x05.", b"\x80\x02}(K\x01K\x02u.", b"\x80\x02}(NNu.",
        b"\x80\x02}(U\x04dataU\x04dataU\x06labels](K\x00K\x01eu.",
        b"\x80\x05.", b"\x80\xff.", b"0.", b"2.", b"b.", b"R.", b"s.", b"h\x05.",
        b"j\xff\xff\xff\xff.",
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_one_line(cifar10, content):
    refused(cifar10[0], "python", content)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"M\x02\x00M\x00\x0c\x86", b"M\x03\x00M\x00\x0c\x86"),  # three rows said, two there
        (b"M\x02\x00M\x00\x0c\x86", b"M\x00\x0cM\x02\x00\x86"),  # rows and columns exchanged
        (b"M\x02\x00M\x00\x0c\x86", b"M\x00\x18\x85"),  # one dimension
        (b"M\x02\x00M\x00\x0c\x86", b"M\x02\x00K\x03M\x00\x04\x87"),  # three
        (b"M\x02\x00M\x00\x0c\x86", b"J\xfe\xff\xff\xffJ\x00\xf4\xff\xff\x86"),  # both negative
        (b"M\x02\x00M\x00\x0c\x86", b"NN\x86"),
        (b"M\x02\x00M\x00\x0c\x86", b"N"),
        (b"U\x02u1", b"U\x02f8"),
        (b"U\x02u1", b"U\x02O8"),
        (b"U\x02u1", b"U\x02i1"),
        (b"tb\x89T", b"tb\x88T"),  # column by column
        (b"(K\x00K\x01e", b"(K\x00e"),  # one label for two images
        (b"(K\x00K\x01e", b"(K\x00K\x01K\x02e"),
        (b"(K\x00K\x01e", b"(K\x00K\x0ae"),
        (b"(K\x00K\x01e", b"(K\x00K\xffe"),
        (b"(K\x00K\x01e", b"(K\x00J\xff\xff\xff\xffe"),
        (b"(K\x00K\x01e", b"(K\x00\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7fe"),
        (b"(K\x00K\x01e", b"(K\x00G?\xf0\x00\x00\x00\x00\x00\x00e"),  # 1.0
        (b"(K\x00K\x01e", b"(K\x00\x88e"),  # True
        (b"(K\x00K\x01e", b"(K\x00Ne"),
        (b"(K\x00K\x01e", b"(K\x00U\x011e"),
        (b"U\x06labels", b"U\x06labelz"),
        (b"U\x04data", b"U\x04date"),
    ],
)
def test_a_batch_that_does_not_fit_together_is_one_line(cifar10, old, new):
    content = WHOLE.replace(old, new)
    if content == WHOLE:
        pytest.fail("the test's own pattern is not in the file")
    refused(cifar10[0], "python", content)


@SETTINGS
@given(st.binary(max_size=80))
def test_any_bytes_are_a_data_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / "data_batch_1").write_bytes(content)
    (folder / "test_batch").write_bytes(WHOLE)
    with pytest.raises(DataError):
        load("cifar10", folder, "data.train=[data_batch_1]")


@pytest.mark.parametrize(
    "content",
    [b"N.", b"", meta_of(label_names=NAMES[:9]), meta_of(label_names=[*NAMES[:9], NAMES[0]]),
     meta_of(names=NAMES), b"\x80\x02}(U\x0blabel_namesK\x05u.",
     b"\x80\x02}(U\x0blabel_names](" + b"K\x05" * 10 + b"eu."],
)  # fmt: skip
def test_a_broken_file_of_names_is_one_line(cifar10, content):
    folder, _ = cifar10
    (folder / "python" / "batches.meta").write_bytes(content)
    with pytest.raises(DataError, match=r"batches\.meta") as refusal:
        load("cifar10", folder / "python", TWO)
    assert "\n" not in str(refusal.value)
