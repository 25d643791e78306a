"""Features that stay in their files: what is used is what is there, asked for in time."""

import os
import threading
import time

import numpy as np
import pytest

from backprop_cli.errors import DataError
from backprop_cli.sources import Dataset, Extent, Source, Split, StoredFeatures, stored, survey
from backprop_cli.sources import pages as pages_module
from backprop_cli.sources.pages import Pages
from tests.make import stored_source

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (500, 7)).astype(np.float32)


@pytest.fixture(params=["large pieces", "small pieces", "no gaps"])
def pieces(request, monkeypatch):
    if request.param == "small pieces":
        monkeypatch.setattr(stored, "PIECE_BYTES", 100)  # three rows of 28 bytes
    if request.param == "no gaps":
        monkeypatch.setattr(stored, "_GAP_BYTES", 1)


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


@pytest.mark.parametrize("n_files", [1, 2])
def test_the_next_rows_are_asked_for_before_these_are_used(tmp_path, monkeypatch, n_files):
    found = in_files(tmp_path, np.array_split(X, n_files), memory=10_000)
    asked = [np.arange(k, 500, 10) for k in range(10)]
    begun, events = [], []
    whole = Pages.ask_for

    def asks(self, start, end):
        events.append("asks")
        return whole(self, start, end)

    monkeypatch.setattr(Pages, "ask_for", asks)

    def noted():
        for k, rows in enumerate(asked):
            begun.append(k)
            yield rows

    for k, part in enumerate(found.read_ahead(noted())):
        assert begun[-1] == min(k + 1, 9)
        assert k == 9 or events[-1] == "asks"
        np.testing.assert_array_equal(taken(part, asked[k]), X[k::10])
        events.append("used")


def test_rows_of_one_file_are_used_where_they_are_without_a_thread(tmp_path):
    found = in_files(tmp_path, [X], offset=16)
    threads = threading.active_count()
    for part in found.read_ahead([np.array([3, 1, 499]), np.arange(20)]):
        assert part.features.shape == (500, 7)
        assert not part.features.flags.owndata
        assert threading.active_count() == threads


@pytest.mark.parametrize("system", ["has not read them", "is older", "takes no advice"])
@pytest.mark.parametrize("offset", [0, 1])
def test_rows_are_the_same_on_any_system(tmp_path, monkeypatch, system, offset):
    monkeypatch.setattr(Pages, "_are_there", lambda self, places: False)
    if system == "is older":
        monkeypatch.setattr(pages_module, "_POPULATE_READ", 12345)  # what no system knows
    if system == "takes no advice":
        monkeypatch.setattr(pages_module, "_POPULATE_READ", None)
        monkeypatch.setattr(pages_module, "_TAKES_ADVICE", False)
    found = in_files(tmp_path, [X[:200], X[200:]], offset=offset)
    for k, part in enumerate(found.read_ahead(np.arange(k, 500, 3) for k in range(3))):
        np.testing.assert_array_equal(taken(part, np.arange(k, 500, 3)), X[k::3])


def test_pages_are_given_back_after_use(tmp_path, monkeypatch):
    found = in_files(tmp_path, [X])
    events = []
    monkeypatch.setattr(Pages, "give_back", lambda self: events.append("given back"))
    for _ in found.read_ahead([np.arange(10)] * 2):
        events.append("used")
    assert events[1:4] == ["used", "given back", "used"]  # the first one is of an opened file
    assert events[-1] == "given back"


def test_who_waits_is_heard_and_who_leaves_is_not_waited_for(tmp_path, monkeypatch):
    found = in_files(tmp_path, [X], memory=10_000)
    monkeypatch.setattr(stored, "PIECE_BYTES", 28)
    monkeypatch.setattr(stored, "_WAIT", 0.01)
    # As from a slow disk.
    monkeypatch.setattr(Pages, "ask_for", lambda self, start, end: True)
    monkeypatch.setattr(Pages, "wait", lambda self, start, end: time.sleep(0.002))

    def interrupt():
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(found.read_ahead([np.arange(500)] * 3, interrupt))
    assert time.monotonic() - start < 0.5  # all rows would take 3 s


def test_a_file_that_becomes_shorter_meanwhile_is_named(tmp_path):
    found = in_files(tmp_path, [X])
    parts = found.read_ahead([np.arange(10), np.arange(400, 500)])
    next(parts)
    with (tmp_path / "part-0").open("r+b") as file:
        file.truncate(300 * 28)
    with pytest.raises(DataError, match="part-0: became shorter"):
        next(parts)


@pytest.mark.parametrize("offset", [1, 16])
def test_pages_are_waited_for_where_they_are_not_in_memory(tmp_path, offset):
    path = tmp_path / "file"
    path.write_bytes(bytes(offset) + X.tobytes())
    pages = Pages(path)
    pages.wait(offset, offset + X.nbytes)
    np.testing.assert_array_equal(pages.array(offset, X.shape, X.dtype), X)
    os.truncate(path, 0)
    with pytest.raises(DataError, match="became shorter"):
        pages.check()


@pytest.mark.parametrize("way", ["shorter", "gone"])
def test_a_file_that_changes_is_named(tmp_path, way):
    found = in_files(tmp_path, [X[:100], X[100:]])
    if way == "gone":
        (tmp_path / "part-1").unlink()
    else:
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
