"""What several processes gain, and what they would: ``python -m benchmarks.scaling``.

Needs the extras `fast` and `mpi`, and a machine that does nothing else. It measures steps of
mini-batch descent on bytes like CIFAR-10's (3072 features), and sums between processes; fits a
model of the time of a step; and prints what the model predicts, on two networks.

A step of N processes takes

    fixed + share + latency * rounds + bytes / bandwidth

where ``fixed`` does not depend on N (the update of all weights), ``share`` is the work on B / N
examples, a sum goes in 2 ceil(log2 N) rounds, and moves 2 (N - 1) / N of its bytes in and out of
every process (Thakur, Rabenseifner and Gropp, 2005).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from backprop_cli.communicator import Communicator, Mpi, Serial
from backprop_cli.engine import blas_threads
from backprop_cli.fitting import prepare
from backprop_cli.losses import LOSSES
from backprop_cli.settings import ModelSettings, Settings
from backprop_cli.solvers.descent import Descent
from backprop_cli.solvers.methods import MiniBatchDescent, Rule
from backprop_cli.solvers.schedules import Constant
from backprop_cli.sources import Dataset, Source, Split, Standardization

FEATURES = 3072
EXAMPLES = 20_000
BATCHES = (100, 1000, 10_000)
CLASSES = (10, 100, 1000)
SHARES = (10, 30, 100, 300, 1000)  # examples of a step, to fit its work by
SIZES = (2, 4, 8, 16, 64, 256, 1024)
REPEATS = 5
_SECONDS = 0.2  # of a measurement
_SUMMED = (1, 1000, 30_720, 307_200, 3_072_000)  # float32


class Network(NamedTuple):
    """What connects processes: seconds a round, and bytes a second."""

    name: str
    latency: float
    bandwidth: float


NETWORKS = (
    Network("10 Gbit/s Ethernet (30 us, 1.1 GB/s assumed)", 30e-6, 1.1e9),
    Network("100 Gbit/s InfiniBand (2 us, 11 GB/s assumed)", 2e-6, 11e9),
)


def training(communicator: Communicator, n_classes: int, batch: int, threads: int) -> Descent:
    """Return training on random bytes, before its first step."""
    n = max(EXAMPLES, batch)
    rng = np.random.default_rng(0)
    source = Source(
        rng.integers(0, 256, (n, FEATURES), np.uint8), rng.integers(0, n_classes, n), "random bytes"
    )
    split = Split(source, np.arange(n))
    model = ModelSettings(LOSSES["softmax_cross_entropy"], 0.01, 0.0, 42, 0.01)
    settings = Settings((model,), "float32", False, "per_feature", None, "compiled", threads)
    solver = MiniBatchDescent(
        (Rule(1e-4, Constant(), 0.0, False),), 1, batch, 42, False, "accuracy", "last", None
    )
    data = Dataset(split, None, None, tuple(map(str, range(n_classes))))
    known = Standardization(np.full(FEATURES, 127.5), np.full(FEATURES, 73.9))
    found = prepare(data, settings, solver, communicator, known)
    if not found.engine.prepare():
        found.engine.wait()
    return found


def seconds_of_step(descent: Descent, steps: Callable[..., Any]) -> float:
    """Return the seconds of a step, the least of some repetitions; all processes make the same."""
    batches, n = descent.plan.epoch(0), 1
    alone = descent.communicator.size == descent.threads == 1
    clock = time.process_time if alone else time.perf_counter
    limit = np.full(1, np.inf)

    def elapsed(k: int) -> float:
        (start,) = descent.communicator.sum(np.zeros(1))  # all begin together
        begun = clock()
        for first in range(0, k, len(batches)):
            some = batches.some(0, min(k - first, len(batches)))
            steps(descent.state, some, np.full((len(some), 1), 1e-4, np.float32), limit)
        return descent.communicator.first(lambda: clock() - begun + start[0])

    with blas_threads(descent.threads):
        elapsed(1)
        while (taken := elapsed(n)) < _SECONDS:
            n = max(2 * n, int(n * _SECONDS / max(taken, 1e-9)))
        return min(elapsed(n) for _ in range(REPEATS)) / n


def seconds_of_sum(communicator: Communicator, n: int) -> float:
    """Return the seconds of a sum of so many float32."""
    array, times = np.zeros(n, np.float32), max(3, min(1000, 10_000_000 // n))
    found = []
    for _ in range(REPEATS):
        communicator.sum(array)
        begun = time.perf_counter()
        for _ in range(times):
            communicator.sum(array)
        found.append((time.perf_counter() - begun) / times)
    return min(found)


def work(task: dict[str, Any]) -> None:
    """Measure what a task asks for, and print it as JSON: this is what each process runs."""
    communicator: Communicator = Serial()
    if task["processes"] > 1:
        communicator = Mpi(lambda number: None, contextlib.nullcontext)
    if "classes" in task:
        descent = training(communicator, task["classes"], task["batch"], task["threads"])
        steps = descent.separate_steps.steps if task["separate"] else descent.steps
        found = seconds_of_step(descent, steps)
    else:
        found = seconds_of_sum(communicator, task["numbers"])
    if communicator.rank == 0:
        print(json.dumps(found))


def measured(processes: int, **task: Any) -> float:
    """Return the seconds that some processes find."""
    launcher = [str(pathlib.Path(sys.executable).parent / "mpiexec"), "-n", str(processes)]
    text = json.dumps({"processes": processes, "separate": False, **task})
    command = [sys.executable, "-m", "benchmarks.scaling", "--task", text]
    command = command if processes == 1 else [*launcher, *command]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


def line_through(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return a >= 0 and b of y = a + b x, with relative errors as small as possible."""
    rows = np.column_stack([np.ones(len(x)), x]) / np.asarray(y)[:, None]
    a, b = np.linalg.lstsq(rows, np.ones(len(y)), rcond=None)[0]
    if a < 0:
        a, b = 0.0, float((rows[:, 1] @ np.ones(len(y))) / (rows[:, 1] @ rows[:, 1]))
    return float(a), float(b)


def predicted(n: int, batch: int, work: tuple[float, float], size: int, network: Network) -> float:
    """Return the seconds of a step of n processes; ``size`` bytes are summed."""
    fixed, an_example = work
    rounds = 2 * math.ceil(math.log2(n))
    headers = rounds * network.latency  # a small sum, before the large one
    moved = 2 * (n - 1) / n * size / network.bandwidth
    return fixed + an_example * batch / n + headers + rounds * network.latency + moved


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    print("|", " | ".join(head), "|")
    print("|", " | ".join(["---"] * len(head)), "|")
    for row in rows:
        print("|", " | ".join(row), "|")
    print()


def tell_measured(batches: Sequence[int]) -> None:
    """Print the rates of one and of two processes, and of four on the same cores."""
    rows = []
    for batch in batches:
        one = measured(1, classes=10, batch=batch, threads=1)
        both = measured(1, classes=10, batch=batch, threads=2)
        two = measured(2, classes=10, batch=batch, threads=1)
        four = measured(4, classes=10, batch=batch, threads=1)
        rates = (f"{batch / seconds:,.0f}" for seconds in (one, both, two, four))
        rows.append([f"{batch}", *rates, f"{100 * both / two:.0f} %"])
    print("Examples a second, 10 classes:\n")
    head = ("batch", "1 process, 1 thread", "1 process, 2 threads", "2 processes, 1 thread each")
    table([*head, "4 processes, 1 thread each", "2 processes / 2 threads"], rows)


def tell_sums() -> None:
    """Print the times of sums between two processes, and the line through them."""
    seconds = [measured(2, numbers=n) for n in _SUMMED]
    latency, a_byte = line_through([4.0 * n for n in _SUMMED], seconds)
    print("Sums of two processes on this machine, with their header:\n")
    rows = [
        [f"{4 * n:,}", f"{1e6 * own:.1f}", f"{1e6 * (latency + 4 * n * a_byte):.1f}"]
        for n, own in zip(_SUMMED, seconds, strict=True)
    ]
    table(["bytes", "us", "us, model"], rows)
    print(f"latency {1e6 * latency:.1f} us, bandwidth {1e-9 / a_byte:.2f} GB/s\n")


def tell_predicted() -> None:
    """Print the work of a step, as fitted, and the speed-ups that follow from it."""
    for n_classes in CLASSES:
        shares = SHARES if n_classes < 1000 else SHARES[:4]
        seconds = [
            measured(1, classes=n_classes, batch=share, threads=1, separate=True)
            for share in shares
        ]
        found = line_through(shares, seconds)
        worst = max(
            abs(found[0] + found[1] * share - own) / own
            for share, own in zip(shares, seconds, strict=True)
        )
        size = 4 * n_classes * (FEATURES + 1)
        print(
            f"{n_classes} classes: a step takes {1e6 * found[0]:.0f} us and "
            f"{1e6 * found[1]:.2f} us an example (within {100 * worst:.0f} % of what was "
            f"measured); {size / 1e6:.2f} MB are summed.\n"
        )
        for network in NETWORKS:
            print(f"{network.name}: times as fast as one process\n")
            rows = []
            for batch in BATCHES:
                alone = found[1] * batch  # its steps are fused, and have hardly a fixed part
                gains = [alone / predicted(n, batch, found, size, network) for n in SIZES]
                rows.append([f"{batch}", *(f"{gain:.1f}" for gain in gains)])
            table(["batch", *(f"N = {n}" for n in SIZES)], rows)


def main() -> None:
    """Measure, fit and predict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument(
        "--only", choices=["measured", "sums", "predicted"], help="one of the three parts"
    )
    options = parser.parse_args()
    if options.task:
        work(json.loads(options.task))
        return
    if options.only in (None, "measured"):
        tell_measured(BATCHES)
    if options.only in (None, "sums"):
        tell_sums()
    if options.only in (None, "predicted"):
        tell_predicted()


if __name__ == "__main__":
    main()
