"""``backprop data shuffle``: the same examples in a random order, whatever stops it."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from backprop_cli.errors import DataError, OutputError
from backprop_cli.formats.array_names import ArrayNames
from backprop_cli.formats.feature_files import FeatureFiles, find_features
from backprop_cli.formats.shuffle import FileShuffle

N, D = 1000, 5
X = np.random.default_rng(0).normal(0, 1, (N, D)).astype(np.float16)
Y = np.repeat(np.arange(10), N // 10)
ROW = 2 * D


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "x0.npy", X[:333])
    np.save(tmp_path / "x1.npy", X[333:])
    np.save(tmp_path / "y.npy", Y)
    return tmp_path


def shuffled(run, files, *more, memory=100 * ROW, out="out"):
    return run("data", "shuffle", files / "x?.npy", files / out, "--labels", files / "y.npy",
               "--memory", memory, *more)  # fmt: skip


def result(files, out="out"):
    return np.load(files / out / "features.npy"), np.load(files / out / "labels.npy")


@pytest.mark.parametrize("memory", [20 * ROW, 100 * ROW, "10 MB", "all"])
def test_every_example_keeps_its_label(run, files, memory):
    status, out, err = shuffled(run, files, memory=memory)
    assert (status, err) == (0, "")
    names = ["features.npy", "labels.npy", "rows.npy"]
    assert [pair.split() for pair in out.splitlines()] == [
        [word, f"{files}/out/{name}"]
        for word, name in zip(("path", "labels", "rows"), names, strict=True)
    ]
    x, y = result(files)
    assert x.dtype == np.float16
    assert sorted(p.name for p in (files / "out").iterdir()) == names
    # The order is that of its stream, whatever the memory.
    sequence = np.random.SeedSequence(0, spawn_key=(10,))
    order = np.random.Generator(np.random.PCG64(sequence)).permutation(N)
    np.testing.assert_array_equal(x, X[order])
    np.testing.assert_array_equal(y, Y[order])
    np.testing.assert_array_equal(np.load(files / "out" / "rows.npy"), order)


def test_another_seed_is_another_order(run, files):
    shuffled(run, files)
    shuffled(run, files, "--seed", 1, out="other")
    assert not np.array_equal(result(files)[1], result(files, "other")[1])


def test_a_memory_of_less_than_two_examples_is_refused(run, files):
    status, _, err = shuffled(run, files, memory=2 * ROW - 1)
    assert status == 2
    assert err == (
        f"Error: expected a memory of {2 * ROW} bytes or more, which is two examples, found "
        f"{2 * ROW - 1}: give a larger --memory\n"
    )


def test_files_that_do_not_go_together_are_refused(run, files):
    """As they are in training."""
    np.save(files / "y.npy", Y[:400])
    np.save(files / "z.npy", Y[400:])
    arguments = ["data", "shuffle", files / "x?.npy", files / "out", "--labels", files / "[yz].npy"]
    status, _, err = run(*arguments)
    assert status == 2
    assert "y.npy: 400 labels for the 333 examples of" in err
    np.save(files / "y.npy", Y)
    for k in (0, 1):
        (files / f"x{k}.npy").rename(files / f"x{9 + k}.npy")
    status, _, err = run("data", "shuffle", files / "x*.npy", *arguments[3:5], files / "y.npy")
    assert status == 2
    assert "pad their numbers with zeros" in err


def test_images_and_labels_of_text_stay_what_they_are(run, tmp_path):
    images = np.arange(60 * 12, dtype=np.uint8).reshape(60, 2, 2, 3)
    names = np.array(["cat", "dog", "ant"])[np.arange(60) % 3]
    np.savez(tmp_path / "d.npz", a=images, b=names)
    status, _, _ = run("data", "shuffle", tmp_path / "d.npz", tmp_path / "o", "--memory", 100,
                       "--features-name", "a", "--labels-name", "b")  # fmt: skip
    assert status == 0
    x, y = result(tmp_path, "o")
    assert x.shape == images.shape
    rows = x.reshape(60, -1)[:, 0] // 12  # the first number of image k is 12 k, modulo 256
    assert len(set(map(bytes, x))) == len(set(map(bytes, images)))
    assert {(bytes(a), b) for a, b in zip(x, y, strict=True)} == {
        (bytes(a), b) for a, b in zip(images, names, strict=True)
    }
    assert rows.tolist() != sorted(rows.tolist())


class Stop(Exception):  # noqa: N818 - not an error
    pass


def job(files, memory=200 * ROW):
    found = find_features(str(files / "x?.npy"), ArrayNames())
    return FileShuffle(found, Y, files / "out", 0, memory)


def test_a_shuffle_goes_on_wherever_it_was_stopped(run, files):
    shuffled(run, files, out="whole")
    steps = 0
    while True:
        said: list[int] = []

        def tell(made, said=said, stop=steps):
            said.append(made)
            if len(said) > stop + 1:
                raise Stop

        try:
            job(files).run(tell, resume=False)
            break
        except Stop:
            pass
        said.clear()
        job(files).run(said.append, resume=True)
        assert sum(said) == 2 * N
        assert said[0] > 0
        for one, other in zip(result(files), result(files, "whole"), strict=True):
            np.testing.assert_array_equal(one, other)
        shutil.rmtree(files / "out")
        steps += 4
    assert steps > 25  # chunks of 50 rows, and buckets of 100


def test_what_cannot_go_on_is_refused(run, files):
    def tell(made):
        if made:
            raise Stop

    with pytest.raises(OutputError, match="no shuffle to go on with"):
        job(files).run(tell, resume=True)
    with pytest.raises(Stop):
        job(files).run(tell, resume=False)
    status, _, err = shuffled(run, files)
    assert (status, "is not empty" in err) == (2, True)
    status, _, err = shuffled(run, files, "--resume", "--seed", 5)
    assert (status, "another --seed" in err) == (2, True)
    status, _, err = shuffled(run, files, "--resume", memory="auto")  # goes on with what it had
    assert (status, err) == (0, "")
    assert len(result(files)[0]) == N


@pytest.mark.parametrize("memory", ["auto", 100 * ROW])
def test_a_shuffle_that_has_finished_is_not_made_again(run, files, memory):
    shuffled(run, files)
    before = (files / "out" / "features.npy").stat()
    status, out, err = shuffled(run, files, "--resume", memory=memory)
    assert (status, err) == (0, "")
    assert "features.npy" in out
    assert (files / "out" / "features.npy").stat() == before


def test_a_shuffle_that_was_stopped_after_its_last_step_keeps_its_result(run, files, monkeypatch):
    def remove(self, *names):
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(FileShuffle, "_remove", remove)
        with pytest.raises(Stop):
            job(files).run(lambda made: None, resume=False)
    before = result(files)
    assert shuffled(run, files, "--resume", memory="auto")[0] == 0
    for one, other in zip(result(files), before, strict=True):
        np.testing.assert_array_equal(one, other)
    names = ["features.npy", "labels.npy", "rows.npy"]
    assert sorted(path.name for path in (files / "out").iterdir()) == names


def test_two_shuffles_in_one_folder_are_refused(run, files):
    def tell(made):
        status, _, err = shuffled(run, files, "--resume")
        assert (status, "out: another process is working there" in err) == (2, True)
        raise Stop

    with pytest.raises(Stop):
        job(files).run(tell, resume=False)


def test_nothing_is_left_of_files_that_cannot_be_used(run, files, monkeypatch):
    def chunks(self, memory):
        yield X[:100]
        raise DataError("broken")

    whole = FeatureFiles.chunks
    monkeypatch.setattr(FeatureFiles, "chunks", chunks)
    assert shuffled(run, files)[::2] == (2, "Error: broken\n")
    assert list((files / "out").iterdir()) == []
    monkeypatch.setattr(FeatureFiles, "chunks", whole)
    assert shuffled(run, files)[0] == 0


def test_a_full_disk_is_told_before_anything_is_written(run, files, monkeypatch):
    usage = shutil.disk_usage(files)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2 * N * ROW - 1))
    status, _, err = shuffled(run, files)
    assert (status, "needs 20000 bytes" in err, err.count("\n")) == (2, True, 1)
    assert list((files / "out").iterdir()) == []


@pytest.mark.parametrize("memory", ["much", "0", "-1 GB", "2 gb"])
def test_memory_that_is_no_size(run, files, memory):
    status, _, err = shuffled(run, files, memory=memory)
    assert (status, "--memory: expected a size" in err, err.count("\n")) == (2, True, 1)


def test_labels_of_another_number(run, files):
    np.save(files / "y.npy", Y[:-1])
    status, _, err = shuffled(run, files)
    assert (status, "999 labels for 1000 examples" in err) == (2, True)


def test_a_killed_process_goes_on(run, files):
    shuffled(run, files, out="whole", memory=40 * ROW)
    words = [sys.executable, "-m", "backprop_cli", "data", "shuffle", files / "x?.npy",
             files / "out", "--labels", files / "y.npy"]  # fmt: skip
    with subprocess.Popen([*words, "--memory", str(40 * ROW)]) as process:
        while not (files / "out" / ".shuffle.json").exists():
            assert process.poll() is None
        process.kill()
    assert subprocess.run([*words, "--resume"], capture_output=True).returncode == 0
    for one, other in zip(result(files), result(files, "whole"), strict=True):
        np.testing.assert_array_equal(one, other)
