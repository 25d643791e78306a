"""``python -m benchmarks --data DIR``: one run, one report, on stdout as Markdown."""

from __future__ import annotations

import argparse
import os
import pathlib
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backprop_cli.engine import cores
from benchmarks.contenders import CONTENDERS
from benchmarks.datasets import Folders, cifar10
from benchmarks.machine import Slow, copy_rate, floor, full_rate, sgemm_rate, wait_for_calm
from benchmarks.processes import Finished, run
from benchmarks.race import Times, race
from benchmarks.workload import Workload

_COMPILED, _NUMPY, _TORCH = "backprop, compiled", "backprop, NumPy", "PyTorch, tuned"
_BY_HAND, _JAX = "PyTorch, by hand", "JAX"
_AUTO = "backprop"
_SAME_STEPS = (_COMPILED, _NUMPY, _TORCH, _BY_HAND, _JAX)
_SHAPED, _OWN = (_AUTO, *_SAME_STEPS), (_AUTO, _COMPILED, _NUMPY)
_EVERY_EPOCH = "PyTorch script, evaluating every epoch"
_AT_THE_END = "PyTorch script, evaluating at the end"
_SCRIPTS = pathlib.Path(__file__).parent / "scripts"
_CONFIG = pathlib.Path(__file__).parent.parent / "configs" / "cifar10-softmax.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--data", required=True, help="the folder cifar-10-batches-py")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(_PARTS), choices=list(_PARTS))
    options = parser.parse_args()
    data, threads = str(pathlib.Path(options.data).absolute()), cores()
    sgemm, copy = sgemm_rate(40), copy_rate()  # some seconds, to meet the machine at its best
    print(f"{platform.machine()}, {threads} threads, Python {platform.python_version()}, ", end="")
    print(f"NumPy {np.__version__}; sgemm {sgemm / 1e9:.0f} GFLOP/s, copy {copy / 1e9:.1f} GB/s\n")
    for name in options.only:
        print(f"## {name}\n", flush=True)
        try:
            _PARTS[name](data, threads, options.rounds, sgemm)
        except Slow as slow:
            print(f"Nothing (more) to report: {slow}. Try again with --only {name!r}.")
        print(flush=True)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], sgemm: float) -> None:
    """Print what was measured, unless the machine has become slow meanwhile."""
    rate = full_rate(sgemm)
    _head(head)
    for row in rows:
        _row(row)
    print(f"\nA large product afterwards: {rate:.0%} of the best rate.\n", flush=True)


def _head(cells: Sequence[str]) -> None:
    _row(cells)
    print("|" + "---|" * len(cells))


def _row(cells: Sequence[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _race_table(
    names: Sequence[str], work: Workload, rounds: int, sgemm: float
) -> dict[str, Times]:
    times = race(names, work, rounds, sgemm)
    least = floor(work, sgemm)
    first = times[names[0]].median
    rows = [
        [name, str(t), f"{t.median / first:.2f}", f"{t.median / least:.1f}"]
        for name, t in times.items()
    ]
    head = ["contender", "seconds an epoch: median (range)", "times the first", "times the floor"]
    _table(head, rows, sgemm)
    return times


def _epochs(data: str, threads: int, rounds: int, sgemm: float) -> None:
    everyone = tuple(name for name in CONTENDERS if name != _AUTO)
    for size, names in ((100, everyone), (1000, _SAME_STEPS)):
        print(f"\nCIFAR-10, 50,000 x 3072, softmax, batches of {size}:\n")
        _race_table(names, Workload(data, batch_size=size, threads=threads), rounds, sgemm)
    print("\nThe same with the SVM, batches of 100:\n")
    svm = Workload(data, loss="multiclass_svm", learning_rate=1e-4, threads=threads)
    _race_table(_SAME_STEPS, svm, rounds, sgemm)


def _shapes(data: str, threads: int, rounds: int, sgemm: float) -> None:
    print("Random features; *rate* is that of a large product afterwards, against the best seen:\n")
    head = ["type", "n x d", "classes", "models", "batch", *_SHAPED, "best peer / backprop",
            "backprop / floor", "rate"]  # fmt: skip
    _head(head)
    for work in _shapes_to_race(threads):
        names = [name for name in _SHAPED if work.n_models == 1 or name != _TORCH]
        found = race(names, work, rounds, sgemm)
        rate = full_rate(sgemm)
        seconds = {name: t.median for name, t in found.items()}
        ours, best = seconds[_AUTO], min(seconds[name] for name in names if name not in _OWN)
        row = [work.dtype, f"{work.n:,} x {work.d}", f"{work.n_classes}", f"{work.n_models}",
               f"{work.batch_size}"]  # fmt: skip
        row += [f"{seconds[name]:.4f}" if name in seconds else "" for name in _SHAPED]
        _row([*row, f"{best / ours:.2f}", f"{ours / floor(work, sgemm):.2f}", f"{rate:.0%}"])


def _shapes_to_race(threads: int) -> list[Workload]:
    """Return one model of many classes, at several batch sizes and types; then sixteen."""
    images: dict[str, Any] = {"d": 3072, "threads": threads}
    features: dict[str, Any] = {"d": 768, "threads": threads}
    works = []
    for C, n in ((2, 50_000), (100, 10_000), (1000, 2_500)):
        for batch in (100, 256, 1024) if C > 2 else (256,):
            common: dict[str, Any] = {"n_classes": C, "batch_size": batch}
            works.append(Workload(n=n, dtype="uint8", **common, **images))
            works += [
                Workload(n=2 * n, dtype=dtype, **common, **features)
                for dtype in ("float16", "float32")
            ]
    for C, n in ((10, 20_000), (100, 5_000)):
        works.append(Workload(n=n, n_classes=C, n_models=16, **images))
        works.append(Workload(n=n, n_classes=C, n_models=16, dtype="float32", **features))
    return works


def _growth(data: str, threads: int, rounds: int, sgemm: float) -> None:
    base: dict[str, Any] = {"n": 20_000, "d": 1024, "n_classes": 10, "n_models": 1}
    rows, times = [], {}
    for key, values in {
        "n": (10_000, 20_000, 40_000),
        "d": (256, 1024, 4096),
        "n_classes": (10, 100, 1000),
        "n_models": (1, 4, 16, 64),
    }.items():
        for value in values:
            work = Workload(**{**base, key: value}, threads=threads)
            if work not in times:  # four rows are of one workload
                times[work] = race([_COMPILED, _NUMPY], work, 2 * rounds, sgemm)
            rows.append(
                [
                    f"{key} = {value:,}",
                    *(str(times[work][name]) for name in (_COMPILED, _NUMPY)),
                    f"{floor(work, sgemm):.4f}",
                ]
            )
    print("20,000 x 1024, 10 classes, one model, batches of 100, but for:\n")
    _table(["", "compiled, s an epoch", "NumPy, s an epoch", "floor"], rows, sgemm)


def _sweep(data: str, threads: int, rounds: int, sgemm: float) -> None:
    work = Workload(data, n_models=16, threads=threads)
    times = race([_COMPILED, _NUMPY, _BY_HAND, _JAX], work, rounds, sgemm)
    torch = race([_TORCH], Workload(data, threads=threads), rounds, sgemm)[_TORCH]
    first = times[_COMPILED].median
    rows = [
        [name, str(t), f"{t.median / first:.2f}", f"{t.median / floor(work, sgemm):.2f}"]
        for name, t in times.items()
    ]
    rows.append(
        [f"16 x {_TORCH}", f"{16 * torch.median:.4f}", f"{16 * torch.median / first:.2f}", ""]
    )
    print("16 learning rates on CIFAR-10, batches of 100:\n")
    _table(["", "seconds an epoch of all 16", "times the first", "times the floor"], rows, sgemm)
    _sweep_commands(data, threads, rounds, sgemm)


def _sweep_commands(data: str, threads: int, rounds: int, sgemm: float) -> None:
    grid = ",".join(f"{0.001 * (1 + m / 16):g}" for m in range(16))
    with tempfile.TemporaryDirectory() as folder:
        found = _commands_in_turn(
            {
                "backprop sweep": lambda: [
                    *_backprop("sweep", data, 10, "compiled", folder),
                    f"--grid=training.learning_rate={grid}",
                ],
                _EVERY_EPOCH: lambda: _torch_script(data, 10, "1", threads),
                _AT_THE_END: lambda: _torch_script(data, 10, "0", threads),
            },
            max(3, rounds // 2),
            sgemm,
        )
    median = {name: statistics.median(f.seconds for f in runs) for name, runs in found.items()}
    first = median.pop("backprop sweep")
    rows = [["backprop sweep", f"{first:.2f}", "1.00"]]
    rows += [
        [f"16 x {name}", f"{16 * value:.1f}", f"{16 * value / first:.1f}"]
        for name, value in median.items()
    ]
    print("\nAs whole commands, ten epochs; the time of the script is that of one run, 16 times:\n")
    _table(["", "seconds", "times the first"], rows, sgemm)


def _backprop(command: str, data: str, epochs: int, backend: str, folder: str) -> list[str]:
    settings = {
        "data.path": data, "training.epochs": str(epochs), "training.learning_rate": "0.001",
        "training.horizontal_flips": "false", "l2": "0", "compute.backend": backend,
    }  # fmt: skip
    return [*_command(command, _CONFIG, settings), f"--output={tempfile.mkdtemp(dir=folder)}"]


def _command(command: str, config: pathlib.Path, settings: Mapping[str, str]) -> list[str]:
    program = shutil.which("backprop", path=str(pathlib.Path(sys.executable).parent))
    assert program is not None
    overrides = [f"--set={key}={value}" for key, value in settings.items()]
    return [program, command, f"--config={config}", *overrides]


def _torch_script(data: str, epochs: int, every: str, threads: int) -> list[str]:
    script = str(_SCRIPTS / "torch_train.py")
    return [sys.executable, script, data, str(epochs), every, str(threads)]


def _commands_in_turn(
    commands: Mapping[str, Callable[[], list[str]]], rounds: int, sgemm: float
) -> dict[str, list[Finished]]:
    found: dict[str, list[Finished]] = {name: [] for name in commands}
    run(next(iter(commands.values()))())  # compiles, if that was never done here
    for _ in range(rounds):
        for name, command in commands.items():
            wait_for_calm(sgemm)
            found[name].append(run(command()))
    return found


def _whole(data: str, threads: int, rounds: int, sgemm: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = _commands_in_turn(
            {
                _COMPILED: lambda: _backprop("train", data, 40, "compiled", folder),
                _NUMPY: lambda: _backprop("train", data, 40, "numpy", folder),
                _EVERY_EPOCH: lambda: _torch_script(data, 40, "1", threads),
                _AT_THE_END: lambda: _torch_script(data, 40, "0", threads),
            },
            max(3, rounds // 2),
            sgemm,
        )
    first = statistics.median(f.seconds for f in found[_COMPILED])
    rows = []
    for name, runs in found.items():
        times = Times(tuple(f.seconds for f in runs))
        memory = max(f.megabytes for f in runs)
        rows.append([name, str(times), f"{times.median / first:.2f}", f"{memory:.0f}"])
    bytes_loaded = 60_000 * 3072 / 1e6
    print("40 epochs of CIFAR-10, softmax, batches of 100, from the command to its end")
    print(f"(the images of all splits are {bytes_loaded:.0f} MB):\n")
    _table(["", "seconds: median (range)", "times the first", "peak memory, MB"], rows, sgemm)


def _estimator(data: str, threads: int, rounds: int, sgemm: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        x, y = (f"{folder}/{name}.npy" for name in "xy")
        here = pathlib.Path()
        train = cifar10(Folders(here, here, pathlib.Path(data)))
        np.save(x, train.x_train)
        np.save(y, train.y_train)
        settings = {
            "data.format": "npy", "data.path": x, "data.labels": y, "data.validation": "0",
            "data.test": "0", "l2": "0.001", "training.epochs": "40",
            "training.learning_rate": "0.001", "compute.backend": "compiled",
        }  # fmt: skip
        config = pathlib.Path(folder) / "empty.yaml"
        config.write_text("{}")
        command = _command("train", config, settings)
        script = [sys.executable, str(_SCRIPTS / "estimator.py"), x, y, "40"]
        found = _commands_in_turn(
            {
                "backprop train": lambda: [*command, f"--output={tempfile.mkdtemp(dir=folder)}"],
                "LinearClassifier.fit in a script": lambda: script,
            },
            rounds,
            sgemm,
        )
    first = statistics.median(f.seconds for f in found["backprop train"])
    rows = []
    for name, runs in found.items():
        times = Times(tuple(f.seconds for f in runs))
        memory = max(f.megabytes for f in runs)
        rows.append([name, str(times), f"{times.median / first:.2f}", f"{memory:.0f}"])
    print("40 epochs of CIFAR-10 from an .npy of 154 MB, softmax, batches of 100, as processes:\n")
    _table(["", "seconds: median (range)", "times the first", "peak memory, MB"], rows, sgemm)


def _lbfgs(data: str, threads: int, rounds: int, sgemm: float) -> None:
    backprop = shutil.which("backprop", path=str(pathlib.Path(sys.executable).parent))
    assert backprop is not None
    command = [
        backprop, "train", "--config", str(_CONFIG), f"--set=data.path={data}",
        "--set=compute.backend=compiled", "--set=training.epochs=5",
    ]  # fmt: skip
    scikit: dict[int, Finished] = {}
    for iterations in (200, 40):
        wait_for_calm(sgemm)
        scikit[iterations] = run(
            [sys.executable, str(_SCRIPTS / "lbfgs.py"), data, str(iterations)]
        )
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for k in range(3):
            wait_for_calm(sgemm)
            runs.append(run([*command, "--output", f"{folder}/{k}"]))
    ours = sorted(runs, key=lambda finished: finished.seconds)[1]
    test = next(line for line in ours.output.splitlines() if line.startswith("test"))
    _table(
        ["", "seconds", "peak memory, MB", "says"],
        [
            *(
                [f"LogisticRegression, lbfgs, at most {k} iterations", f"{found.seconds:.1f}",
                 f"{found.megabytes:.0f}", found.output.strip()]
                for k, found in scikit.items()
            ),
            ["backprop, configs/cifar10-softmax.yaml, 5 epochs", f"{ours.seconds:.2f}",
             f"{ours.megabytes:.0f}", " ".join(test.split()[:4])],
        ],
        sgemm,
    )  # fmt: skip
    ratios = [f"{found.seconds / ours.seconds:.1f}" for found in scikit.values()]
    print(f"\nRatios {' and '.join(ratios)}.")


def _cold(data: str, threads: int, rounds: int, sgemm: float) -> None:
    python = sys.executable
    backprop = str(pathlib.Path(python).parent / "backprop")
    quickstart = str(_CONFIG.parent / "quickstart.yaml")
    commands = {
        'python -c "import click"': [python, "-c", "import click"],
        "backprop --help": [backprop, "--help"],
        "backprop train --dry-run (quickstart)": [
            backprop, "train", "--config", quickstart, "--dry-run",
        ],
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(4 * rounds):
        for name, command in commands.items():
            seconds[name].append(run(command).seconds)
    times = {name: Times(tuple(values)) for name, values in seconds.items()}
    first = next(iter(times.values())).median
    _table(
        ["command", "seconds: median (range)", "times the first"],
        [[name, str(t), f"{t.median / first:.2f}"] for name, t in times.items()],
        sgemm,
    )


_PARTS = {
    "Epochs": _epochs,
    "Shapes": _shapes,
    "Sweep": _sweep,
    "Whole process": _whole,
    "Estimator": _estimator,
    "To the accuracy of lbfgs": _lbfgs,
    "Growth": _growth,
    "Cold start": _cold,
}

if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(pathlib.Path(__file__).parent.parent))
    main()
