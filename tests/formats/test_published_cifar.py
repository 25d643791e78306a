"""CIFAR-10 and CIFAR-100 are read as they were written, in both layouts."""

import pickle

import numpy as np
import pytest

from backprop_cli.errors import DataError
from tests.formats.published_cifar import NAMES, TWO_FILES, load, pixels_of, published

MANY = 40  # images of more than 65,536 bytes, which are read straight to their place


def test_both_layouts_are_the_arrays_that_were_written(cifar10):
    folder, content = cifar10
    first, second, test = content.values()
    for layout in ("python", "binary"):
        found = load("cifar10", folder / layout, TWO_FILES)
        np.testing.assert_array_equal(found.train.features, np.concatenate([first[0], second[0]]))
        np.testing.assert_array_equal(
            found.train.source.labels, np.concatenate([first[1], second[1]])
        )
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
    found = load("cifar10", folder / "python", TWO_FILES)
    second = content["data_batch_2"]
    np.testing.assert_array_equal(found.train.features, np.concatenate([pixels, second[0]]))
    assert found.train.source.labels.tolist() == [*labels, *second[1]]


@pytest.mark.parametrize("layout", ["python", "binary"])
def test_large_files_after_one_another(cifar10, layout):
    folder, _ = cifar10
    pixels, labels = pixels_of(2 * MANY, 8), np.arange(2 * MANY) % 10
    for k in (0, 1):
        x, y = pixels[k::2], labels[k::2]
        (folder / "python" / f"data_batch_{k + 1}").write_bytes(published(x, labels=y))
        records = b"".join(bytes([b]) + a.tobytes() for a, b in zip(x, y, strict=True))
        (folder / "binary" / f"data_batch_{k + 1}.bin").write_bytes(records)
    found = load("cifar10", folder / layout, TWO_FILES)
    expected = np.concatenate([pixels[0::2], pixels[1::2]])
    np.testing.assert_array_equal(found.train.features, expected)
    assert found.train.source.labels.tolist() == [*labels[0::2], *labels[1::2]]


def test_another_large_piece_before_the_pixels(cifar10):
    folder, _ = cifar10
    pixels, labels = pixels_of(MANY, 9), [3, 7] * (MANY // 2)
    batch = {"notes": b"n" * 70_000, "data": pixels, "labels": labels, "more": b"m" * 70_000}
    (folder / "python" / "data_batch_1").write_bytes(pickle.dumps(batch, 3))
    found = load("cifar10", folder / "python", "data.train=[data_batch_1]")
    np.testing.assert_array_equal(found.train.features, pixels)
    assert found.train.source.labels.tolist() == labels


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
            assert found.train.source.labels.tolist() == labels
            assert found.n_classes == count
            np.testing.assert_array_equal(found.test.features, pixels)
        assert load("cifar100", tmp_path / layout).n_classes == 100


def test_without_a_file_of_names_classes_are_numbered(cifar10):
    folder, _ = cifar10
    (folder / "python" / "batches.meta").unlink()
    found = load("cifar10", folder / "python", TWO_FILES)
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
