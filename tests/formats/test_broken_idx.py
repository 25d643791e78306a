"""IDX files that are cut short, padded, absurd, or not numbers."""

import gzip
import struct

import numpy as np
import pytest

from tests.formats.broken import IMAGES, LABELS, idx, load, of, refused


def test_idx_is_read_row_by_row(mnist):
    found = load(of(mnist)).train
    np.testing.assert_array_equal(found.features, np.arange(36).reshape(6, 6))
    assert found.source.labels.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_idx_cut_short_anywhere(mnist, name):
    content = (mnist / name).read_bytes()
    for size in range(len(content)):
        (mnist / name).write_bytes(content[:size])
        refused(of(mnist), name)
    for padding in (b"\0", b"\0" * 100):
        (mnist / name).write_bytes(content + padding)
        refused(of(mnist), name, "longer")


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_gzip_cut_short_or_changed_anywhere(mnist, name):
    whole = (mnist / name).read_bytes()
    content = gzip.compress(whole, mtime=0)
    (mnist / name).unlink()
    path = mnist / f"{name}.gz"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        refused(of(mnist), name)
    path.write_bytes(content + b"more")
    refused(of(mnist), name)
    path.write_bytes(whole)  # not compressed, whatever its name says
    refused(of(mnist), name)
    for at in range(10, len(content)):  # after the header, whose time and flags mean nothing here
        changed = bytearray(content)
        changed[at] ^= 0x55
        path.write_bytes(changed)
        refused(of(mnist), name)


@pytest.mark.parametrize("shape", [(0, 2, 3), (0, 0, 0), (6, 0, 3), (6, 2, 0)])
def test_idx_of_no_images_or_no_pixels(mnist, shape):
    (mnist / IMAGES).write_bytes(idx(shape, b""))
    (mnist / LABELS).write_bytes(idx(shape[:1], bytes([0, 1, 2, 0, 1, 2])[: shape[0]]))
    refused(of(mnist), IMAGES, "expected examples")


def test_one_idx_file_of_no_images_among_others(mnist):
    (mnist / "more-images-idx3-ubyte").write_bytes(idx((0, 2, 3), b""))
    (mnist / "more-labels-idx1-ubyte").write_bytes(idx((0,), b""))
    refused(of(mnist, f", train: [{IMAGES}, more-images-idx3-ubyte]"), "more-images")


@pytest.mark.parametrize(
    "header",
    [
        b"\0\0\x08\xff" + struct.pack(">I", 1) * 255 + b"x",  # 255 dimensions of one
        b"\0\0\x08\x41" + struct.pack(">I", 1) * 65 + b"x",
        idx((0, 2**32 - 1, 2**32 - 1), b""),
        idx((2**32 - 1, 0, 2**32 - 1), b""),
        idx((2**32 - 1, 2**32 - 1, 2**32 - 1), b"x"),
        idx((2**31, 2**31, 4), b""),  # 2^64 bytes: nothing, modulo 2^64
        idx((6, 2, 3), bytes(36), 0x0A),
        idx((6, 6), bytes(36)),
        idx((36,), bytes(36)),
        idx((6, 2, 3, 1), bytes(36)),
        b"\0\0\x08\0",
        b"\x08\0\0\x03" + bytes(48),
    ],
)
def test_absurd_idx_headers(mnist, header):
    (mnist / IMAGES).write_bytes(header)
    refused(of(mnist), IMAGES)
    (mnist / IMAGES).unlink()
    (mnist / f"{IMAGES}.gz").write_bytes(gzip.compress(header))
    refused(of(mnist), IMAGES)


def test_idx_labels_that_are_no_labels(mnist):
    (mnist / LABELS).write_bytes(idx((6,), np.arange(6, dtype=">f4").tobytes(), 0x0D))
    refused(of(mnist), LABELS, "integers")
    (mnist / LABELS).write_bytes(idx((6, 1), bytes(6)))
    refused(of(mnist), LABELS, "integers")
    (mnist / LABELS).write_bytes(idx((6,), np.array([-1, 0, 1] * 2, "i1").tobytes(), 0x09))
    assert load(of(mnist)).class_names == ("-1", "0", "1")
    (mnist / LABELS).write_bytes(idx((6,), bytes([0, 1, 2, 0, 1, 9])))
    refused(of(mnist, ", classes: 3"), "labels from 0 to 9", "0 to 2")
    assert load(of(mnist)).class_names == ("0", "1", "2", "9")
    assert load(of(mnist, ", classes: 10")).n_classes == 10
    (mnist / LABELS).write_bytes(idx((6,), bytes(6)))
    refused(of(mnist), "two classes")
    (mnist / LABELS).unlink()
    refused(of(mnist), LABELS, "no such file")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("code", "dtype"),
    [(8, "u1"), (9, "i1"), (0xB, ">i2"), (0xC, ">i4"), (0xD, ">f4"), (0xE, ">f8")],
)
def test_images_of_every_idx_type(mnist, code, dtype, zipped):
    values = np.array([3, 100, 7, 0, 1, 127] * 6, dtype)
    content = idx((6, 2, 3), values.tobytes(), code)
    if zipped:
        (mnist / IMAGES).unlink()
        (mnist / f"{IMAGES}.gz").write_bytes(gzip.compress(content))
    else:
        (mnist / IMAGES).write_bytes(content)
    found = load(of(mnist)).train.features
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found.ravel(), values)


def test_idx_floats_that_are_not_finite(mnist):
    values = np.ones(36, ">f4")
    values[13] = np.nan  # the third image's second pixel
    (mnist / IMAGES).write_bytes(idx((6, 2, 3), values.tobytes(), 0x0D))
    refused(of(mnist), IMAGES, "features[2, 1] is nan")
