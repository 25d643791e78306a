"""Features larger than memory against the same from memory: ``python -m benchmarks.streaming DIR``.

Writes a float16 ``.npy`` into DIR (8.2 GB, unless it is there), which must fit into the memory that
is free, and trains on it by the command, in turn: with a ``data.memory`` that holds all features,
and in blocks. An epoch's seconds are those of the run's history. What a cold epoch takes, when the
system has forgotten the file, stands beside a plain sequential read.

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

from benchmarks.machine import sgemm_rate
from benchmarks.processes import run

_CLASSES = 10
_PART = 20_000  # examples that are written at once
_CHUNK = 1 << 20  # bytes of a plain read
_SETTINGS = """\
data: {{format: npy, path: x.npy, labels: y.npy, validation: 0, test: 0, memory: "{memory}"}}
training: {{epochs: {epochs}, batch_size: 1000, learning_rate: 0.001, train_figures: steps}}
compute: {{backend: compiled}}
output: run
"""


def write_features(path: pathlib.Path, n: int, d: int) -> None:
    """Write n float16 examples of noise, and their labels, ``y.npy``; class k has mean m_k."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((_PART, d), np.float32)
    means = 0.05 * rng.standard_normal((_CLASSES, d), np.float32)
    labels = rng.integers(0, _CLASSES, n)
    features = np.lib.format.open_memmap(path, "w+", np.float16, (n, d))
    for first in range(0, n, _PART):
        own = means[labels[first : first + _PART]]
        features[first : first + _PART] = noise[: len(own)] + own
        noise = np.roll(noise, 1, axis=1)
    features.flush()
    np.save(path.with_name("y.npy"), labels)


def train(memory: str, epochs: int) -> tuple[list[float], float]:
    """Train by the command in this folder; return seconds of each epoch, and peak memory in MB."""
    shutil.rmtree("run", ignore_errors=True)
    pathlib.Path("config.yaml").write_text(_SETTINGS.format(memory=memory, epochs=epochs))
    done = run([sys.executable, "-m", "backprop_cli", "train", "--config", "config.yaml"])
    lines = pathlib.Path("run/metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["seconds"] for line in lines], done.megabytes


def forget(path: pathlib.Path) -> None:
    """Let the system forget a file."""
    os.sync()
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain_read(path: pathlib.Path) -> float:
    """Return the seconds of a sequential read."""
    start, into = time.perf_counter(), bytearray(_CHUNK)
    with path.open("rb", buffering=0) as file:
        while file.readinto(into):
            pass
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--examples", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--memory", default="1 GB", help="data.memory of the run in blocks")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="of a run; its first is not counted")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(options.folder)
    path = pathlib.Path("x.npy")
    if not path.exists():
        write_features(path, options.examples, options.features)
    size = path.stat().st_size
    print(f"{size / 1e9:.2f} GB; large products: {sgemm_rate() / 1e9:.0f} GFLOP/s", flush=True)
    cases = {"from memory": f"{2 * size}", f"in blocks, {options.memory}": options.memory}
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    peaks = dict.fromkeys(cases, 0.0)
    for _ in range(options.rounds):
        for case, memory in cases.items():
            found, megabytes = train(memory, options.epochs)
            seconds[case] += found[1:]
            peaks[case] = max(peaks[case], megabytes)
    print("| an epoch | median, s | from, to | peak memory, MB |\n|---|---|---|---|")
    for case, own in seconds.items():
        print(f"| {case}, file cached | {statistics.median(own):.2f} "
              f"| {min(own):.2f}, {max(own):.2f} | {peaks[case]:.0f} |")  # fmt: skip
    whole, blocks = (statistics.median(own) for own in seconds.values())
    print(f"rate in blocks: {whole / blocks:.0%} of that from memory", flush=True)
    for _ in range(options.rounds):
        forget(path)
        plain = plain_read(path)
        forget(path)  # the features are known from before: nothing but the epoch reads them
        (cold, *_), _ = train(options.memory, 1)
        print(f"cold: plain read {plain:.1f} s, epoch {cold:.1f} s", flush=True)
    print(f"large products: {sgemm_rate() / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
