"""Epochs of several contenders in turn, each in its own process, and whether they agree."""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.machine import wait_for_calm
from benchmarks.workload import Workload

_PAUSE = 0.3  # seconds, in which the threads of who was last stop waiting busily
_TOLERANCE = 1e-3  # of the largest weight, after an epoch in float32


@dataclass(frozen=True)
class Times:
    """Seconds of some rounds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        return f"{self.median:8.4f} ({low:.4f} to {high:.4f})"


class _Process:
    def __init__(self, name: str, work: Workload) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, json.dumps(asdict(work))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended")
        return line.strip()


def race(names: Sequence[str], work: Workload, rounds: int, sgemm: float) -> dict[str, Times]:
    """Return each contender's times; an epoch before them is not counted.

    Raises
    ------
    RuntimeError
        Those that make the same steps do not have the same weights and biases, of every model,
        after the first epoch.
    """
    processes = {name: _Process(name, work) for name in names}
    try:
        for process in processes.values():
            process.ask("epoch")
        _compare(processes)
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, process in processes.items():
                wait_for_calm(sgemm)
                time.sleep(_PAUSE)
                process.ask("epoch")  # wakes the cores
                seconds[name].append(float(process.ask("epoch")))
    finally:
        for process in processes.values():
            process.close()
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def _compare(processes: dict[str, _Process]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = None
        for name, process in processes.items():
            path = pathlib.Path(folder) / "weights.npy"
            process.ask(str(path))
            weights = np.load(path)
            if not weights.size:
                continue
            first = weights if first is None else first
            difference = np.abs(weights - first)
            for what, part in {"weights": np.s_[:, :-1], "biases": np.s_[:, -1]}.items():
                share = float(difference[part].max() / np.abs(first[part]).max())
                if share > _TOLERANCE:
                    raise RuntimeError(f"{name}: {what} differ by {share:.2g} of the largest")
