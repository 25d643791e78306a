"""Kills runs at random moments until they end, and compares what they leave, byte for byte.

``python -m tests.reliability.kills --runs 300``, or only some: ``--kinds streamed``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

DATA = "data: {format: synthetic, examples: 3000, size: 16, classes: 5, validation: 500}\n"
SETTINGS = {
    "softmax": "training: {epochs: 120, batch_size: 20, learning_rate: 0.01}\n",
    "svm, momentum": "loss: multiclass_svm\n"
    "training: {epochs: 120, batch_size: 20, momentum: 0.9, keep: last}\n",
    "cosine, flips": "l2: 0.01\nlabel_smoothing: 0.1\ntraining: {epochs: 100, batch_size: 20, "
    "momentum: 0.9, nesterov: true, schedule: {kind: cosine}, horizontal_flips: true}\n",
    "early stopping": "training: {epochs: 2000, batch_size: 20, learning_rate: 0.0003, "
    "select_by: loss, early_stopping: {patience: 3}}\n",
    "compiled": "compute: {backend: compiled}\n"
    "training: {epochs: 300, batch_size: 20, momentum: 0.5, horizontal_flips: true}\n",
    "streamed": "training: {epochs: 120, batch_size: 20, momentum: 0.9}\n",
    "sweep": "training: {epochs: 40, batch_size: 20}\n",
}
GRID = ["--grid=training.learning_rate=1e-3,1e-2,1e-1", "--grid=l2=0,0.1",
        "--grid=training.seed=1,2"]  # fmt: skip
_FILES = ("model.safetensors", "metrics.jsonl", "summary.json", "config.yaml")
_SWEEP_FILES = ("sweep.json", "sweep.jsonl")
_MOST_SECONDS = 120


def data(kind: str, folder: pathlib.Path) -> str:
    """Return the data section of a kind; streamed features are read in 13 buffers."""
    if kind != "streamed":
        return DATA
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 3000)
    features = rng.normal(0, 1, (3000, 64)) + np.eye(5, 64)[labels]
    np.save(folder / "x.npy", features.astype(np.float16))
    np.save(folder / "y.npy", labels)
    return (
        f"data: {{format: npy, path: '{folder}/x.npy', labels: '{folder}/y.npy', "
        "validation: 500, test: 0, memory: 52 kB}\n"
    )


def command(kind: str, config: pathlib.Path, output: pathlib.Path, resume: bool) -> list[str]:
    words = ["sweep", *GRID] if kind == "sweep" else ["train"]
    go_on = ["--resume"] if resume else []
    return [
        sys.executable, "-m", "backprop_cli", *words, "--config", str(config),
        "--set", "compute.threads=1", "--output", str(output), *go_on,
    ]  # fmt: skip


def left(folder: pathlib.Path) -> dict[str, object]:
    """Return what a finished run left, without the seconds it took and the folder's name."""
    found: dict[str, object] = {}
    for name in (*_FILES, *_SWEEP_FILES):
        path = folder / name
        if not path.exists():
            continue
        raw = path.read_bytes().replace(str(folder).encode(), b"")
        if name.endswith(".jsonl"):
            lines = [json.loads(line) for line in raw.splitlines()]
            found[name] = [{**line, "seconds": None} for line in lines]
        else:
            found[name] = raw
    extra = {p.name for p in folder.iterdir()} - {*_FILES, *_SWEEP_FILES}
    # What a killed process was writing beside its files stays, hidden; nothing else may.
    found["extra"] = sorted(name for name in extra if not name.startswith("."))
    return found


def finished(folder: pathlib.Path) -> dict[str, object]:
    """Return what a finished run left; a checkpoint that was not yet taken away does no harm."""
    found = left(folder)
    names = found["extra"]
    assert isinstance(names, list)
    found["extra"] = [name for name in names if name != "checkpoint.safetensors"]
    return found


def whole(kind: str, config: pathlib.Path, output: pathlib.Path) -> float:
    """Run to the end; return the seconds."""
    start = time.perf_counter()
    subprocess.run(
        command(kind, config, output, resume=False), check=True, capture_output=True, timeout=600
    )
    return time.perf_counter() - start


def killed(
    kind: str, config: pathlib.Path, output: pathlib.Path, seconds: float, rng: random.Random
) -> tuple[int, list[str]]:
    """Kill a run again and again until it ends; return how often, and what went wrong."""
    kills, resume = 0, False
    problems: list[str] = []
    end = time.monotonic() + _MOST_SECONDS
    while True:
        process = subprocess.Popen(
            command(kind, config, output, resume), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            # The first seconds are Python's; the kill is to fall into all that follows.
            limit = None if kills >= 3 else rng.uniform(0.2, 1.0) * seconds
            _, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
        else:
            if process.returncode == 0:
                return kills, problems
            problems.append(f"{kind}: exit {process.returncode}: {err.strip()}")
            return kills, problems
        # What --resume needs is there from the first write on; before it, nothing is.
        marker = "checkpoint.safetensors" if kind == "sweep" else "config.yaml"
        resume = (output / marker).exists() and not (output / "summary.json").exists()
        if (output / "summary.json").exists():
            return kills, problems
        if time.monotonic() > end:
            return kills, [*problems, f"{kind}: did not end"]


def campaign(
    runs: int, seed: int, folder: pathlib.Path, kinds: Sequence[str] = tuple(SETTINGS)
) -> tuple[int, list[str]]:
    """Kill so many runs; return the number of kills, and every difference or error."""
    expected: dict[str, dict[str, object]] = {}
    seconds: dict[str, float] = {}
    problems: list[str] = []
    kills = 0
    for kind in kinds:
        config = folder / f"{kind}.yaml"
        config.write_text(data(kind, folder) + SETTINGS[kind])
        name = folder / f"whole-{len(expected)}"  # no spaces: YAML would break the line there
        seconds[kind] = whole(kind, config, name)
        expected[kind] = left(name)

    def one(k: int) -> tuple[int, list[str]]:
        kind = kinds[k % len(kinds)]
        output = folder / f"run-{k}"
        rng = random.Random(f"{seed} {k}")  # noqa: S311 - moments, not secrets
        times, wrong = killed(kind, folder / f"{kind}.yaml", output, seconds[kind], rng)
        if not wrong:
            found = finished(output)
            wrong = [
                f"run {k}, {kind}: {name} differs"
                for name in expected[kind].keys() | found.keys()
                if found.get(name) != expected[kind].get(name)
            ]
        with contextlib.suppress(OSError):
            subprocess.run(["rm", "-rf", str(output)], check=False)
        return times, wrong

    with ThreadPoolExecutor(2) as pool:
        for times, wrong in pool.map(one, range(runs)):
            kills += times
            problems += wrong
    return kills, problems


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        own = pathlib.Path(folder)
        kills, problems = campaign(options.runs, options.seed, own, options.kinds)
    print(f"{options.runs} runs, {kills} kills, {len(problems)} problems, ", end="")
    print(f"{time.perf_counter() - start:.0f} s")
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
