"""How much memory features may take: sizes, and what the system says."""

import pytest

from backprop_cli.config.values import memory_bytes
from backprop_cli.formats import memory


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (12345, 12345), ("12345", 12345), ("1 B", 1), ("2 GB", 2_000_000_000), ("2GB", 2 * 10**9),
        ("1.5 MB", 1_500_000), ("500 MiB", 500 * 1024**2), ("3 kB", 3000), ("1 TiB", 1024**4),
    ],
)  # fmt: skip
def test_sizes_are_in_the_units_of_their_standards(text, size):
    assert memory_bytes(text) == size
    assert memory.memory_limit(text) == size


@pytest.mark.parametrize("text", ["", "GB", "2 gb", "2 XB", "-1 GB", "0", "1e9", "9999999 TB"])
def test_other_texts_are_none(text):
    with pytest.raises(ValueError, match="expected a size"):
        memory_bytes(text)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Return a function that writes what the system says, by file."""
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")

    def says(**files):
        (tmp_path / "memory").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / name.replace("__", "/").replace("memory_", "memory.")).write_text(text)

    return says


def test_the_smallest_of_machine_and_container_counts(system):
    system(meminfo="MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert memory.free_memory() == 4_096_000
    system(memory_max="max\n", memory_current="5", memory_stat="inactive_file 1\n")
    assert memory.free_memory() == 4_096_000
    # Of 3 MB, 2.5 are in use, of which 1.2 are cached files that can be given back.
    stat = "anon 1300000\nactive_file 200000\ninactive_file 1000000\n"
    system(memory_max="3000000\n", memory_current="2500000\n", memory_stat=stat)
    assert memory.free_memory() == 1_700_000
    assert memory.memory_limit("auto") == 850_000
    system(
        memory__memory_limit_in_bytes="500000", memory__memory_usage_in_bytes="100000",
        memory__memory_stat="cache 0\n",
    )  # fmt: skip
    assert memory.free_memory() == 400_000


def test_all_is_without_a_limit(system):
    assert memory.memory_limit("all") is None
