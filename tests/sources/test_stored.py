"""Features that stay in their files: what is used is what is there, asked for in time."""

import errno
import mmap
import os
import pathlib
import sys
import threading
import time

import numpy as np
import pytest

from backprop_cli.errors import DataError
from backprop_cli.sources import (
    Dataset,
    Extent,
    Source,
    Split,
    StoredFeatures,
    copied,
    layout,
    listening,
    pages,
    populate,
    stored,
    survey,
)
from backprop_cli.sources.copied import Copied
from backprop_cli.sources.in_place import InPlace
from tests.make import stored_source

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (500, 7)).astype(np.float32)


@pytest.fixture(params=["large pieces", "small pieces", "no gaps"])
def pieces(request, monkeypatch):
    if request.param == "small pieces":
        for module in (layout, copied):
            monkeypatch.setattr(module, "PIECE_BYTES", 100)  # three rows of 28 bytes
    if request.param == "no gaps":
        monkeypatch.setattr(stored, "_GAP", 1)
        monkeypatch.setattr(stored, "_READ_GAP", 1)


def in_files(folder, arrays, offset=0, **more):
    """Write arrays into files of their own, each behind some other bytes."""
    extents = []
    for k, array in enumerate(arrays):
        path = folder / f"part-{k}"
        path.write_bytes(b"\xff" * offset + array.tobytes())
        extents.append(Extent(path, offset, len(array)))
    return StoredFeatures(extents, arrays[0].shape[1], arrays[0].dtype, **more)


@pytest.mark.usefixtures("pieces")
def test_rows_are_those_of_the_files(tmp_path):
    found = in_files(tmp_path, [X[:120], X[120:121], X[121:]], offset=13)
    assert found.shape == (500, 7)
    for rows in (
        np.arange(500), np.arange(118, 124), np.arange(0, 500, 17), np.array([499]),
        np.empty(0, np.intp), np.flatnonzero(RNG.random(500) < 0.3),
    ):  # fmt: skip
        np.testing.assert_array_equal(found.gather(rows), X[rows])


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("dtype", ["<f2", ">f2", ">f4", "<f8", "u1", ">i2"])
def test_numbers_come_in_the_order_of_this_machine(tmp_path, dtype):
    array = (100 * np.abs(X)).astype(dtype)
    found = in_files(tmp_path, [array])
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found.gather(np.arange(3, 60)), array[3:60])


@pytest.mark.usefixtures("pieces")
def test_bfloat16_is_the_first_half_of_a_float32(tmp_path):
    bits = RNG.integers(0, 2**16, (40, 5)).astype("<u2")
    found = in_files(tmp_path, [bits], bfloat16=True).gather(np.arange(0, 40, 3))
    expected = np.zeros((40, 5, 2), "<u2")
    expected[..., 1] = bits  # little-endian: the second 16 bits are the first half
    np.testing.assert_array_equal(found, expected.view("<f4")[::3, :, 0])


def taken(part, rows):
    """Return the rows that were asked for."""
    return part.features[rows] if part.rows is None else part.features


@pytest.fixture(params=["in place", "copied"])
def way(request, monkeypatch):
    if request.param == "copied":
        monkeypatch.setattr(stored, "most_files", lambda: 0)
    return InPlace if request.param == "in place" and sys.platform == "linux" else Copied


@pytest.mark.parametrize("n_files", [1, 3])
def test_the_next_rows_are_asked_for_before_these_are_used(tmp_path, monkeypatch, way, n_files):
    found = in_files(tmp_path, np.array_split(X, n_files), memory=10_000)
    asked = list(np.arange(500).reshape(10, 50))
    begun, events = [], []
    whole = way.ask_for

    def asks(self, runs):
        events.append("asks")
        return whole(self, runs)

    monkeypatch.setattr(way, "ask_for", asks)

    def noted():
        for k, rows in enumerate(asked):
            begun.append(k)
            yield rows

    for k, part in enumerate(found.read_ahead(noted())):
        assert begun[-1] == min(k + 1, 9)
        assert k == 9 or events[-1] == "asks"
        assert (part.rows is None) == (way is InPlace)
        np.testing.assert_array_equal(taken(part, asked[k]), X[asked[k]])
        events.append("used")


def test_no_thread_reads_rows_that_are_in_memory(tmp_path, monkeypatch, way):
    monkeypatch.setattr(pages.Pages, "seem_there", lambda self, start, end: True)
    found = in_files(tmp_path, [X], offset=16)
    threads = threading.active_count()
    for part in found.read_ahead([np.arange(30)[::-1], np.arange(20)]):
        assert part.features.shape == ((500, 7) if way is InPlace else (len(part.rows), 7))
        assert not part.features.flags.owndata
        assert threading.active_count() == threads


@pytest.mark.usefixtures("pieces", "way")
def test_requests_of_one_pass_may_be_dense_or_sparse(tmp_path):
    found = in_files(tmp_path, np.array_split(X, 3))
    asked = [
        np.arange(90, 400), RNG.permutation(500)[:40], np.array([7]), np.empty(0, np.intp),
        np.arange(0, 500, 9), np.r_[80:90, 20:30, 460:500], np.flatnonzero(RNG.random(500) < 0.8),
    ]  # fmt: skip
    for rows, part in zip(asked, found.read_ahead(asked), strict=True):
        own = np.sort(rows)
        np.testing.assert_array_equal(taken(part, own), X[own])


def test_rows_with_much_between_them_are_copied(tmp_path):
    found = in_files(tmp_path, [X])
    asked = [np.arange(0, 500, 2), np.arange(0, 500, 50), np.arange(1, 500, 9)]
    assert all(part.rows is not None for part in found.read_ahead(asked))


def test_many_runs_are_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "_GAP", 28)
    found = in_files(tmp_path, [np.tile(X, (5, 1))])
    asked = [np.arange(0, 2 * n, 2) for n in (1024, 1025)]
    places = [part.rows is None for part in found.read_ahead(asked)]
    assert places == [sys.platform == "linux", False]


def refuses(error):
    def refuse(*arguments, **more):
        raise error

    return refuse


SYSTEMS = {
    "cannot read what is there": (pages, "_AT_ONCE", None),
    "has no preadv": (os, "preadv", refuses(NotImplementedError("preadv2"))),
    "cannot wait for pages": (populate, "_POPULATE_READ", 12345),  # what no system knows
    "refuses to map": (mmap, "mmap", refuses(OSError(errno.ENODEV, "no such device"))),
    "has no descriptors": (pages.Pages, "__init__", refuses(OSError(errno.EMFILE, "too many"))),
    "takes no advice": (pages, "_TAKES_ADVICE", False),
}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("n_files", [1, 2])
def test_rows_are_the_same_on_any_system(tmp_path, monkeypatch, system, n_files):
    monkeypatch.setattr(*SYSTEMS[system], raising=False)
    if system == "takes no advice":
        monkeypatch.setattr(stored, "most_files", lambda: 0)
    found = in_files(tmp_path, np.array_split(X, n_files), offset=8)
    asked = np.arange(500).reshape(5, 100)
    for rows, part in zip(asked, found.read_ahead(asked), strict=True):
        np.testing.assert_array_equal(part.rows, rows)
        np.testing.assert_array_equal(part.features, X[rows])


def test_rows_are_the_same_where_no_thread_can_start(tmp_path, monkeypatch, way):
    found, asked = in_files(tmp_path, [X]), []
    source = Source(found, np.arange(500) % 3, "x.npy")
    data = Dataset(Split(source, np.arange(400)), None, None, tuple("abc"))
    expected = survey(data, "per_feature", "float32")

    def start(self):
        asked.append(1)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pages.Pages, "seem_there", lambda self, start, end: False, raising=False)
    monkeypatch.setattr(threading.Thread, "start", start)
    for rows, part in zip(
        np.arange(500).reshape(5, 100),
        found.read_ahead(np.arange(500).reshape(5, 100)),
        strict=True,
    ):
        np.testing.assert_array_equal(taken(part, rows), X[rows])
    assert bool(asked) == (way is InPlace)
    again = survey(data, "per_feature", "float32")
    assert again.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(again.standardization.mean, expected.standardization.mean)


def test_passes_at_once_have_memory_and_files_for_each(tmp_path, monkeypatch):
    """Half of 64 MB, or more for larger portions, is in use, and half is read ahead."""
    for memory, at_once, expected in (
        (63_999_999, 1, 1), (128_000_000, 1, 2), (10**9, 1, 15), (10**9, 10**6, 8), (1, 1, 1),
    ):  # fmt: skip
        found = in_files(tmp_path, [X], memory=memory)
        monkeypatch.setattr(stored, "most_files", lambda: 128)
        assert found.passes_at_once(at_once) == expected
    many = in_files(tmp_path, np.array_split(X, 50), memory=10**9)
    assert many.passes_at_once(1) == 2
    monkeypatch.setattr(stored, "most_files", lambda: 0)
    assert many.passes_at_once(1) == 1


def test_numbers_that_are_not_aligned_are_copied(tmp_path):
    for part in in_files(tmp_path, [X], offset=2).read_ahead([np.arange(500)]):
        assert part.rows is not None
        np.testing.assert_array_equal(part.features, X)


def descriptors():
    """Return the numbers of this process's open files, and of the one that lists them."""
    return {int(file.name) for file in pathlib.Path("/proc/self/fd").iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is a system's own")
@pytest.mark.parametrize("in_place", ["would be too many", "are tried"])
def test_more_files_than_may_be_open(tmp_path, monkeypatch, in_place):
    import resource

    if in_place == "are tried":
        monkeypatch.setattr(stored, "most_files", lambda: 1000)
    found = in_files(tmp_path, np.array_split(X, 250))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_files) + 30, limits[1]))
    try:
        found_rows = [part.features.copy() for part in found.read_ahead([np.arange(500)] * 2)]
        gathered = found.gather(np.arange(0, 500, 3))
        assert descriptors() == open_files
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    np.testing.assert_array_equal(found_rows, [X, X])
    np.testing.assert_array_equal(gathered, X[::3])


def test_a_pass_that_ends_leaves_no_file_open(tmp_path, way):
    found = in_files(tmp_path, np.array_split(X, 3))
    for n_used in (1, 2):
        parts = found.read_ahead([np.arange(500)] * 2)
        for _ in range(n_used):
            next(parts)
        part = next(parts, None)
        parts.close()
    del parts, part
    folder = str(tmp_path)
    fds = pathlib.Path("/proc/self/fd")
    if fds.exists():
        targets = [str(fd.readlink()) for fd in fds.iterdir() if fd.is_symlink()]
        assert not [target for target in targets if target.startswith(folder)]


def test_who_waits_is_heard_and_who_leaves_is_not_waited_for(tmp_path, monkeypatch, way):
    found = in_files(tmp_path, [X], memory=10_000)
    for module in (layout, copied):
        monkeypatch.setattr(module, "PIECE_BYTES", 28)
    monkeypatch.setattr(listening, "_WAIT", 0.0)
    heard = []
    list(found.read_ahead([np.arange(500)] * 3, lambda: heard.append(time.monotonic())))
    assert len(heard) >= 3 * 500

    def interrupt():
        heard.append(None)
        if len(heard) == 700:  # while the first request is waited for
            raise KeyboardInterrupt

    heard.clear()
    with pytest.raises(KeyboardInterrupt):
        next(found.read_ahead([np.arange(500)] * 3, interrupt))


def test_a_file_that_becomes_shorter_meanwhile_is_named(tmp_path, way):
    found = in_files(tmp_path, [X])
    parts = found.read_ahead([np.arange(10), np.arange(400, 500)])
    next(parts)
    with (tmp_path / "part-0").open("r+b") as file:
        file.truncate(300 * 28)
    with pytest.raises(DataError, match="part-0: became shorter"):
        next(parts)


@pytest.mark.parametrize("way", ["shorter", "gone", "pipe"])
def test_a_file_that_changes_is_named(tmp_path, way):
    """Nothing waits for a pipe that nobody writes into."""
    found = in_files(tmp_path, [X[:100], X[100:]])
    if way in ("gone", "pipe"):
        (tmp_path / "part-1").unlink()
    if way == "pipe":
        os.mkfifo(tmp_path / "part-1")
    elif way == "shorter":
        (tmp_path / "part-1").write_bytes(X[100:300].tobytes())
    np.testing.assert_array_equal(found.gather(np.arange(100)), X[:100])
    with pytest.raises(DataError, match=r"part-1: (became shorter|cannot read)"):
        found.gather(np.arange(99, 500))
    with pytest.raises(DataError, match="part-1"):
        list(found.read_ahead([np.arange(100), np.arange(400, 500)]))


def test_blocks_of_a_split_are_those_of_features_in_memory(tmp_path):
    labels, weights = np.arange(500) % 3, RNG.random(500)
    rows = np.flatnonzero(RNG.random(500) < 0.6)
    one = Split(Source(X, labels, "memory", example_weights=weights), rows)
    source = stored_source(tmp_path, X, labels, memory=20 * 28, example_weights=weights)
    other = Split(source, rows)
    seen = []
    for block in other.blocks(8, 3, 250):
        assert len(block.rows) <= 5  # memory is for twenty rows: two buffers, each of twice five
        own = block.rows
        seen.append((block.features[own], block.labels[own], block.example_weights[own]))
    for array, parts in zip((X, labels, weights), zip(*seen, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), np.asarray(array)[rows[3:250]])
    np.testing.assert_array_equal(other.own_features(), one.own_features())
    backwards = source.block(rows[::-1])
    np.testing.assert_array_equal(backwards.features[backwards.rows], X[rows[::-1]])
    np.testing.assert_array_equal(backwards.labels[backwards.rows], labels[rows[::-1]])


def test_a_survey_finds_the_same(tmp_path):
    labels, rows = np.arange(500) % 3, np.arange(0, 500, 2)

    def surveyed(source):
        splits = Split(source, rows), Split(source, rows + 1), None
        return survey(Dataset(*splits, tuple("abc")), "per_feature", "float32")

    one = surveyed(Source(X, labels, "memory"))
    other = surveyed(stored_source(tmp_path, X, labels, memory=10**7))
    assert one.fingerprint == other.fingerprint
    np.testing.assert_array_equal(one.standardization.mean, other.standardization.mean)
    np.testing.assert_array_equal(one.standardization.std, other.standardization.std)
    bad = X.copy()
    bad[321, 4] = np.nan
    with pytest.raises(DataError, match=r"features\[321, 4\] is nan"):
        surveyed(stored_source(tmp_path, bad, labels, memory=10**4))
