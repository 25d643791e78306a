"""CIFAR files that are missing, damaged or hostile: one line each, and nothing of them is run."""

import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backprop_cli.errors import DataError
from backprop_cli.formats import cifar
from tests.formats.published_cifar import (
    NAMES,
    RECORD,
    TWO_FILES,
    load,
    meta_of,
    pixels_of,
    published,
)

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("missing", "words"),
    [("data_batch_2", "data_batch_2: no such file; the folder has data_batch_1"),
     ("test_batch", "test_batch: no such file; the folder has")],
)  # fmt: skip
def test_a_missing_file_is_told_with_what_is_there(cifar10, missing, words):
    folder, _ = cifar10
    (folder / "python" / missing).unlink()
    with pytest.raises(DataError, match=words) as refused:
        load("cifar10", folder / "python", TWO_FILES)
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
    monkeypatch.setattr(cifar, "_size", lambda path: RECORD)
    with pytest.raises(DataError, match=f"{name}: grew while it was being read"):
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
        load("cifar10", folder / "python", TWO_FILES)
    assert "\n" not in str(refusal.value)
