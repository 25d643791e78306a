"""Only regular files of a sane size are read: nothing waits, and nothing is read without end."""

import os
import pathlib
import signal
import socket

import numpy as np
import pytest

from backprop_cli.regular import open_regular, read_regular
from tests.cli.conftest import config

__all__ = ["config"]  # a fixture


@pytest.fixture(autouse=True)
def _deadline():
    """End a test that waits, in place of waiting with it."""

    def ring(number, frame):
        raise AssertionError("waited for 20 s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_a_regular_file_is_read_through_links(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_regular(tmp_path / "link", 7) == b"content"
    with open_regular(os.fsencode(tmp_path / "file").decode()) as stream:
        assert stream.read() == b"content"


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def sparse(path):
    path.touch()
    os.truncate(path, 200 * 10**9)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


@pytest.mark.parametrize(
    ("make", "words"),
    [(pipe, "a named pipe"), (device, "a device"), (a_socket, "a socket"), (sparse, "sparse")],
)
def test_what_is_no_file_is_an_error_at_once(tmp_path, monkeypatch, make, words):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(pathlib.Path("x"))
    with pytest.raises(OSError, match=words):
        open_regular("x")


def test_a_file_is_as_large_as_is_allowed(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="at most 4 bytes, found 5"):
        read_regular(tmp_path / "file", 4)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


MAKERS = [pipe, device, sparse]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("config.yaml", ("eval", "RUN")),
        ("model.safetensors", ("eval", "RUN")),
        ("model.safetensors", ("eval", "RUN", "--verify")),
        ("summary.json", ("eval", "RUN")),
        ("calibration.json", ("predict", "RUN", "--input", "IN")),
        ("metrics.jsonl", ("report", "RUN", "--text")),
        ("sweep.json", ("report", "RUN", "--text")),
        ("checkpoint.safetensors", ("train", "--resume", "--output", "RUN")),
        ("checkpoint.safetensors", ("sweep", "--resume", "--config", "CONFIG", "--grid", "l2=1,2")),
        ("config.yaml", ("train", "--config", "CONFIG")),
    ],
)
def test_in_place_of_any_file_of_a_run(run, refused, config, tmp_path, make, name, command):
    file = config()
    assert run("train", "--config", file)[0] == 0
    np.save(tmp_path / "in.npy", np.zeros((2, 4)))
    path = tmp_path / "run" / name
    path.unlink(missing_ok=True)
    make(path)
    if name.startswith("checkpoint"):
        (tmp_path / "run" / "summary.json").unlink()
    if name == "config.yaml" and command[0] == "train":  # results would be refused before
        for other in ("summary.json", "model.safetensors", "metrics.jsonl"):
            (tmp_path / "run" / other).unlink()
    places = {"RUN": tmp_path / "run", "IN": tmp_path / "in.npy", "CONFIG": file}
    refused(*(places.get(word, word) for word in command), words=[name])


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "name",
    ["x.npy", "y.npy", "y.txt", "y.csv", "d.npz", "data_batch_1", "data_batch_1.bin",
     "batches.meta", "batches.meta.txt", "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"],
)  # fmt: skip
def test_in_place_of_data(refused, tmp_path, make, name):
    labels = np.arange(12) % 3
    np.save(tmp_path / "x.npy", np.zeros((12, 3)))
    np.save(tmp_path / "y.npy", labels)
    records = np.zeros((12, 3073), np.uint8)
    records[:, 0] = labels
    if "meta" in name:
        records.tofile(tmp_path / "data_batch_1.bin")
    path = tmp_path / name
    path.unlink(missing_ok=True)
    make(path)
    if name[0] in "xyd" and "batch" not in name:
        parts = "path: d.npz" if name == "d.npz" else f"path: x.npy, labels: {name}"
        parts = parts.replace("labels: x.npy", "labels: y.npy") + ", labels_column: y" * (
            name == "y.csv"
        )
        data = f"format: npy, {parts}"
    elif "ubyte" in name:
        data = "format: idx, path: ., validation: 2, test: 2"
    else:
        data = "format: cifar10, path: ., train: [data_batch_1], validation: 2, test: 2"
    for key in ("x.npy", "y.npy", "y.txt", "y.csv", "d.npz"):
        data = data.replace(f" {key}", f" {tmp_path}/{key}")
    text = f"data: {{{data.replace('path: .,', f'path: {tmp_path},')}}}\noutput: {tmp_path}/run\n"
    (tmp_path / "c.yaml").write_text(text)
    # What is no file is no file of the folder either.
    refused(
        "train",
        "--config",
        tmp_path / "c.yaml",
        words=[name.removesuffix(".bin").removesuffix(".gz")],
    )


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["in.npy", "in.npz", "in.png", "in.idx"])
def test_in_place_of_what_is_to_be_classified(run, refused, config, tmp_path, make, name):
    assert run("train", "--config", config())[0] == 0
    make(tmp_path / name)
    refused("predict", tmp_path / "run", "--input", tmp_path / name, words=[name])
