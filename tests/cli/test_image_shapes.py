"""A model of images classifies images of its own shape, by every way in."""

import json

import numpy as np
import pytest

from tests.formats.broken import idx

HEIGHT, WIDTH, CHANNELS = 8, 6, 3  # no two alike, so that no exchange of them goes unseen
D = HEIGHT * WIDTH * CHANNELS


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (60, HEIGHT, WIDTH, CHANNELS), np.uint8)


@pytest.fixture
def trained(run, config, images, tmp_path):
    status, _, err = run("train", "--config", config(x=images))
    assert status == 0, err
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((5, CHANNELS, HEIGHT, WIDTH), "3 x 8 pixels and 6 channels"),
        ((5, WIDTH, HEIGHT, CHANNELS), "6 x 8 pixels and 3 channels"),
        ((5, D, 1), "144 x 1 pixels and 1 channel"),
        ((5, HEIGHT, WIDTH * CHANNELS), "8 x 18 pixels and 1 channel"),
        ((5, HEIGHT, WIDTH * CHANNELS, 1), "8 x 18 pixels and 1 channel"),
    ],
)
def test_an_array_of_another_shape(refused, trained, tmp_path, shape, found):
    pixels = np.zeros(shape, np.uint8)
    np.save(tmp_path / "new.npy", pixels)
    np.savez(tmp_path / "new.npz", x=pixels)
    for name in ("new.npy", "new.npz"):
        err = refused("predict", trained, "--input", tmp_path / name)
        assert err == (
            f"Error: {tmp_path / name}: expected images of 8 x 6 pixels and 3 channels as the "
            f"model has, found images of {found}\n"
        )


def test_an_idx_file_of_another_shape(refused, trained, tmp_path):
    shape = (5, HEIGHT, WIDTH * CHANNELS)
    (tmp_path / "new-idx3-ubyte").write_bytes(idx(shape, bytes(5 * D)))
    refused("predict", trained, "--input", tmp_path / "new-idx3-ubyte",
            words=["new-idx3-ubyte", "found images of 8 x 18 pixels and 1 channel"])  # fmt: skip


def test_an_image_file_of_another_shape(refused, trained, tmp_path):
    Image = pytest.importorskip("PIL.Image", reason="needs the extra: images")
    Image.fromarray(np.zeros((WIDTH, HEIGHT, CHANNELS), np.uint8)).save(tmp_path / "new.png")
    refused("predict", trained, "--input", tmp_path / "new.png",
            words=["new.png", "6 x 8 pixels", "found 8 x 6"])  # fmt: skip


def test_a_model_of_plain_features_takes_no_images(run, refused, config, tmp_path):
    assert run("train", "--config", config())[0] == 0
    np.save(tmp_path / "new.npy", np.zeros((5, 2, 2)))
    refused("predict", tmp_path / "run", "--input", tmp_path / "new.npy",
            words=["expected examples of 4 plain features", "2 x 2 pixels"])  # fmt: skip


def test_plain_features_are_channel_planes(run, trained, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "planes.npy", images.transpose(0, 3, 1, 2).reshape(len(images), D))
    found = []
    for name in ("images.npy", "planes.npy"):
        status, out, err = run("predict", trained, "--input", tmp_path / name, "--json")
        assert status == 0, err
        lines = [json.loads(line) for line in out.splitlines()]
        found.append([list(line["probabilities"].values()) for line in lines])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
