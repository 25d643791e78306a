"""Features larger than memory against the same from memory: ``python -m benchmarks.streaming DIR``.

Writes float16 features into DIR (8.2 GB, unless they are there), which must fit into the memory
that is free, and trains on them by the command. A first run, which is not counted, has the system
read the files into its cache. Then runs with a ``data.memory`` that holds all features and runs in
blocks alternate. An epoch's seconds are those of the run's history. What a cold epoch takes, when
the system has forgotten the files, stands beside a plain sequential read. ``--files`` chooses how
the features are stored: one ``.npy``, eight of them, or one ``.safetensors``.

Needs the extra `fast`, Linux, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import sgemm_rate
from benchmarks.processes import run

Rows = NDArray[np.float16]

_CLASSES = 10
_SHARDS = 8
_PART = 20_000  # examples that are written at once
_CHUNK = 1 << 20  # bytes of a plain read
_SETTINGS = """\
data: {{format: npy, path: "{path}", labels: y.npy, validation: 0, test: 0, memory: "{memory}"}}
training: {{epochs: {epochs}, batch_size: 1000, learning_rate: 0.001, train_figures: steps}}
compute: {{backend: compiled}}
output: run
"""


def npy_file(path: pathlib.Path, n: int, d: int) -> Rows:
    """Create an ``.npy`` of n x d float16 zeros; return it, mapped."""
    return np.lib.format.open_memmap(path, "w+", np.float16, (n, d))


def safetensors_file(path: pathlib.Path, n: int, d: int) -> Rows:
    """The same as a ``.safetensors``; its library's writer would hold all of it in memory."""
    entry = {"dtype": "F16", "shape": [n, d], "data_offsets": [0, 2 * n * d]}
    header = json.dumps({"features": entry}).encode()
    header += b" " * (-len(header) % 8)  # the numbers begin at a multiple of eight bytes
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return np.memmap(path, np.float16, "r+", 8 + len(header), (n, d))


def write_features(parts: Sequence[Rows]) -> None:
    """Fill n float16 examples with noise and write labels, ``y.npy``; class k has mean m_k."""
    n, d = sum(len(part) for part in parts), parts[0].shape[1]
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((_PART, d), np.float32)
    means = 0.05 * rng.standard_normal((_CLASSES, d), np.float32)
    labels = rng.integers(0, _CLASSES, n)
    start = 0
    for part in parts:
        for first in range(0, len(part), _PART):
            own = means[labels[start + first : start + len(part)][:_PART]]
            part[first : first + _PART] = noise[: len(own)] + own
            noise = np.roll(noise, 1, axis=1)
        start += len(part)
    np.save("y.npy", labels)


def make_files(kind: str, n: int, d: int) -> str:
    """Write the features into this folder, unless they are there; return their path or pattern."""
    if kind == "shards":
        paths = [pathlib.Path(f"x-{part}.npy") for part in range(_SHARDS)]
        counts = [n // _SHARDS + (part < n % _SHARDS) for part in range(_SHARDS)]
    else:
        paths, counts = [pathlib.Path(f"x.{kind}")], [n]
    create = safetensors_file if kind == "safetensors" else npy_file
    if not all(path.exists() for path in paths):
        write_features([create(path, own, d) for path, own in zip(paths, counts, strict=True)])
    return "x-*.npy" if kind == "shards" else f"x.{kind}"


def train(path: str, memory: str, epochs: int) -> tuple[list[float], float]:
    """Train by the command in this folder; return seconds of each epoch, and peak memory in MB."""
    shutil.rmtree("run", ignore_errors=True)
    settings = _SETTINGS.format(path=path, memory=memory, epochs=epochs)
    pathlib.Path("config.yaml").write_text(settings)
    done = run([sys.executable, "-m", "backprop_cli", "train", "--config", "config.yaml"])
    lines = pathlib.Path("run/metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["seconds"] for line in lines], done.megabytes


def forget(paths: Sequence[pathlib.Path]) -> None:
    """Let the system forget these files."""
    os.sync()
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain_read(paths: Sequence[pathlib.Path]) -> float:
    """Return the seconds of a sequential read."""
    start, into = time.perf_counter(), bytearray(_CHUNK)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(into):
                pass
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--files", choices=("npy", "shards", "safetensors"), default="npy")
    parser.add_argument("--examples", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--memory", default="1 GB", help="data.memory of the run in blocks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="of a run; its first is not counted")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(options.folder)
    path = make_files(options.files, options.examples, options.features)
    paths = sorted(pathlib.Path().glob(path))
    size = sum(own.stat().st_size for own in paths)
    print(f"{size / 1e9:.2f} GB; large products: {sgemm_rate() / 1e9:.0f} GFLOP/s", flush=True)
    cases = {"from memory": f"{2 * size}", f"in blocks, {options.memory}": options.memory}
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    peaks = dict.fromkeys(cases, 0.0)
    forget(paths)
    train(path, options.memory, 1)  # the files are in the cache as this program reads them
    for _ in range(options.rounds):
        for case, memory in cases.items():
            found, megabytes = train(path, memory, options.epochs)
            seconds[case] += found[1:]
            peaks[case] = max(peaks[case], megabytes)
    print("| an epoch | median, s | from, to | peak memory, MB |\n|---|---|---|---|")
    for case, own in seconds.items():
        print(f"| {case}, files cached | {statistics.median(own):.2f} "
              f"| {min(own):.2f}, {max(own):.2f} | {peaks[case]:.0f} |")  # fmt: skip
    whole, blocks = (statistics.median(own) for own in seconds.values())
    print(f"rate in blocks: {whole / blocks:.0%} of that from memory", flush=True)
    for _ in range(options.rounds):
        forget(paths)
        plain = plain_read(paths)
        forget(paths)  # the features are known from before: nothing but the epoch reads them
        (cold, *_), _ = train(path, options.memory, 1)
        print(f"cold: plain read {plain:.1f} s, epoch {cold:.1f} s", flush=True)
    print(f"large products: {sgemm_rate() / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
