"""Pages of mapped files: read when they are asked for, and in memory only while they are used."""

import contextlib
import ctypes
import mmap
import os
import pathlib
import sys
import threading
import time

import numpy as np
import pytest

from backprop_cli.errors import DataError
from backprop_cli.sources import Extent, StoredFeatures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="others do not map files")
if sys.platform == "linux":
    from backprop_cli.sources.large_pages import LargePages
    from backprop_cli.sources.pages import Pages, most_files

PAGE = mmap.PAGESIZE
BLOCK = 100_000  # bytes: neighbours share a page
MB = 1_000_000


def evicted(path):
    """Let the system forget a file; skip where it does not."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        size = path.stat().st_size
    if any(there(path, 0, size)):
        pytest.skip("the file system keeps its files in memory")


def there(path, start, end):
    """Say of each page whether the system has it in memory; to read it would begin to read it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        found = (ctypes.c_ubyte * (-(-len(mapped) // PAGE)))()
        address = np.frombuffer(mapped, np.uint8).ctypes.data
        status = ctypes.CDLL(None).mincore(
            ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), found
        )
    assert status == 0
    return [bool(page & 1) for page in found[start // PAGE : -(-end // PAGE)]]


def soon_there(path, start, end):
    """Say whether the system has some bytes in memory, now or within ten seconds."""
    limit = time.monotonic() + 10
    while not all(there(path, start, end)) and time.monotonic() < limit:
        time.sleep(0.01)
    return all(there(path, start, end))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(0).bytes(3 * BLOCK))
    evicted(path)
    return path


def test_what_is_asked_for_is_read(path):
    pages = Pages(path)
    assert sum(there(path, 0, 3 * BLOCK)) < 5
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # nothing but what is wanted
        for k in (0, 2):
            os.pread(file.fileno(), BLOCK, k * BLOCK)
    found = there(path, BLOCK, 2 * BLOCK)  # its first page and its last belong to the others too
    assert found[0]
    assert found[-1]
    assert not any(found[1:-1])
    pages.read_ahead(BLOCK, 2 * BLOCK)
    assert soon_there(path, BLOCK, 2 * BLOCK)
    pages.close()


def test_what_is_there_is_not_asked_for(path, monkeypatch):
    asked, features = [], StoredFeatures([Extent(path, 0, 75_000)], 1, np.dtype("f4"))
    monkeypatch.setattr(Pages, "read_ahead", lambda pages, *place: asked.append(place))
    rows = np.arange(25_000, 50_000)
    for _ in range(2):
        list(features.read_ahead([rows]))
        path.read_bytes()
    assert asked == [(BLOCK, 2 * BLOCK)]


def test_the_bytes_that_tell_whether_a_block_is_there_change(path, monkeypatch):
    """The system keeps pages that are read again; alone, they would stand for all others."""
    looked_at = set()

    def are_there(self, places):
        looked_at.update(places)
        return True

    pages = Pages(path)
    monkeypatch.setattr(Pages, "_are_there", are_there)
    for _ in range(100):
        pages.wait(BLOCK, 2 * BLOCK, lambda: None)
    assert len({place // PAGE for place in looked_at}) > 10
    assert BLOCK <= min(looked_at) <= max(looked_at) < 2 * BLOCK
    pages.close()


LARGE = 2 << 20


@pytest.fixture
def large_pages(tmp_path):
    """A file of ten large pages and three quarters, which the system has forgotten; its map."""
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(0).bytes(10 * LARGE + 3 * LARGE // 4))
    evicted(path)
    with path.open("rb") as file, contextlib.closing(LargePages(file)) as own:
        if own.size != LARGE:
            pytest.skip("the system has other large pages, or none")
        yield path, own


def in_large_pages(path, start, end):
    """Return how many bytes of a file are brought near as large pages, when all of them are."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        whole = np.frombuffer(mapped, np.uint8)
        whole[start:end:PAGE].sum()
        maps = pathlib.Path("/proc/self/smaps").read_text()
        own = maps[maps.index(f"{whole.ctypes.data:x}-") :]
        del whole
    return 1024 * int(own[own.index("FilePmdMapped:") :].split()[1])


def test_what_is_read_ahead_is_in_large_pages(large_pages):
    path, _ = large_pages
    start, end = 2 * LARGE + PAGE, 8 * LARGE - PAGE
    with contextlib.closing(Pages(path)) as pages:
        pages.read_ahead(start, end)
    assert soon_there(path, start, end)
    found = in_large_pages(path, start, end)
    if not found:  # ext4 before Linux 6.16, for one
        pytest.skip("the file system has no large pages")
    assert found > 3 * LARGE


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_large_page_of_which_little_is_wanted_is_not_read_whole(large_pages, share):
    (path, _), part = large_pages, int(share * LARGE)
    start, end = 4 * LARGE - part, 5 * LARGE + part
    with contextlib.closing(Pages(path)) as pages:
        pages.read_ahead(start, end)
    assert soon_there(path, start, end)
    assert not any(there(path, 3 * LARGE, start - PAGE))
    assert not any(there(path, end + PAGE, 10 * LARGE))


def test_memory_behind_a_map_is_left_alone(large_pages):
    """The last large page of a file ends beyond it."""
    path, own = large_pages
    behind = np.frombuffer(own._map, np.uint8).ctypes.data + len(own._map)
    fixed = 0x100000  # MAP_FIXED_NOREPLACE
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | fixed
    library = ctypes.CDLL(None)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    address = library.mmap(behind, PAGE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if address != behind:
        pytest.skip("something else is there")
    ctypes.memset(address, 7, PAGE)
    own.read(10 * LARGE, path.stat().st_size)
    assert all(there(path, 10 * LARGE, path.stat().st_size))
    assert ctypes.string_at(address, PAGE) == bytes([7]) * PAGE
    library.munmap(ctypes.c_void_p(address), ctypes.c_size_t(PAGE))


def test_a_map_may_be_closed_while_it_is_read(large_pages):
    path, own = large_pages
    reader = threading.Thread(target=lambda: [own.read(0, 10 * LARGE) for _ in range(50)])
    reader.start()
    own.close()
    reader.join(10)
    assert not reader.is_alive()
    evicted(path)
    own.read(0, 10 * LARGE)
    assert not any(there(path, 0, 10 * LARGE))


@pytest.mark.parametrize("offset", [0, 1])
def test_the_next_rows_are_read_while_these_are_used(path, offset):
    """In place where they are aligned, otherwise copied."""
    features = StoredFeatures([Extent(path, offset, 70_000)], 1, np.dtype("f4"))
    parts = features.read_ahead([np.arange(10_000), np.arange(50_000, 70_000)])
    assert (next(parts).rows is None) == (offset == 0)
    assert soon_there(path, offset + 4 * 50_000, offset + 4 * 70_000)
    assert not any(there(path, 150_000, 180_000))


@pytest.mark.parametrize("start", [0, 1, PAGE, BLOCK + 17])
def test_pages_are_waited_for_where_they_are_not_in_memory(path, monkeypatch, start):
    pages, heard = Pages(path), []
    monkeypatch.setattr(Pages, "_are_there", lambda self, places: False)  # as on a slow disk
    assert not all(there(path, start, 3 * BLOCK))
    pages.wait(start, 3 * BLOCK, lambda: heard.append(1))
    assert all(there(path, start, 3 * BLOCK))
    assert heard
    with path.open("r+b") as file:
        file.truncate(BLOCK)
    with pytest.raises(DataError, match="file: became shorter"):
        pages.check()
    with pytest.raises(DataError, match="file: became shorter"):
        pages.wait(0, 3 * BLOCK, lambda: None)
    pages.close()


def test_nothing_may_be_asked_for_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(2 * PAGE))
    pages = Pages(path)
    for end in (0, PAGE, 2 * PAGE):
        pages.seem_there(end, end)
        pages.read_ahead(end, end)
        pages.take(end, end)
        pages.wait(end, end, lambda: None)
        pages.give_back(end, end)
    pages.close()


def test_few_files_are_mapped():
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for limit, expected in ((256, 32), (512, 64)):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limits[1]))
            assert most_files() == expected
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def memory(kind):
    """Return bytes of this process: of mapped files, or of its own."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """64 MB in rows of 4 kB, and the file."""
    path = tmp_path_factory.mktemp("large") / "file"
    path.write_bytes(np.ones(16 * MB, "f4").tobytes())
    return StoredFeatures([Extent(path, 0, 16_000)], 1000, np.dtype("f4"), memory=32 * MB)


def test_pages_are_given_back_after_use(large):
    before = memory("RssFile")
    asked = np.arange(16_000).reshape(4, 4000)
    for rows, part in zip(asked, large.read_ahead(asked), strict=True):
        assert part.rows is None
        part.features[rows].sum()
        assert 10 * MB < memory("RssFile") - before < 18 * MB
    assert memory("RssFile") - before < MB


def test_blocks_bring_nothing_beyond_them_into_memory(large):
    before = memory("RssFile")
    starts = np.random.default_rng(0).permutation(1000)[:200] * 16
    rows = np.sort((starts[:, None] + np.arange(16)).reshape(-1))  # 64 kB each
    for part in large.read_ahead([rows]):
        assert part.rows is None
        part.features[rows].sum()
        assert memory("RssFile") - before < 1.2 * len(rows) * 4000


@pytest.mark.parametrize("way", ["gather", "read_ahead"])
def test_sparse_rows_take_the_memory_of_a_piece(large, way):
    before = memory("RssFile"), memory("RssAnon")
    rows = np.sort(np.random.default_rng(0).permutation(16_000)[:1000])
    asked = [rows, rows + 0]
    for k in range(2):
        if way == "gather":
            found = large.gather(asked[k])
            assert memory("RssFile") - before[0] < MB
        else:
            for part in large.read_ahead(asked):
                found = part.features
                assert memory("RssFile") - before[0] < MB
        assert memory("RssAnon") - before[1] < 4 * MB + 8 * MB + 3 * MB
        del found
