"""``backprop probe`` beside a search of 200 values: ``python -m benchmarks.probe SETS_DIR``.

SETS_DIR has the folders that benchmarks/datasets.py writes. On each set, `probe` runs without
options but for the test files and the number of threads. scikit-learn's LogisticRegression then
fits 200 values of C, evenly spaced in the logarithm, to the same training examples, standardized
in the same way; the one with the best validation accuracy (of equal ones, with the lowest
validation loss) is evaluated on test. More than 10,000 training examples are reduced to that.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backprop_cli.config import load_config
from backprop_cli.formats import load_dataset
from backprop_cli.sources import Dataset
from benchmarks.datasets import read
from benchmarks.objective import moments

SETS = (
    "breast_cancer", "digits", "dna", "letter", "satellite", "shuttle", "vehicle", "fashion_mnist",
)  # fmt: skip
_MAX_TRAIN = 10_000
_POINTS = 200
_L2 = (1e1, 1e-8)
_SEED = 0


def run_probe(folder: pathlib.Path, scratch: pathlib.Path) -> tuple[dict[str, Any], float, Dataset]:
    """Return what the command prints, its seconds, and the splits that it has drawn."""
    found = read(folder)
    rows = np.random.default_rng(_SEED).permutation(len(found.x_train))[:_MAX_TRAIN]
    arrays = found._replace(x_train=found.x_train[rows], y_train=found.y_train[rows])
    for name, array in arrays._asdict().items():
        np.save(scratch / f"{name}.npy", array)
    x_train, y_train, x_test, y_test = (
        str(scratch / f"{name}.npy") for name in ("x_train", "y_train", "x_test", "y_test")
    )
    command = [
        sys.executable, "-m", "backprop_cli", "probe", x_train, y_train, "--test", x_test,
        "--test-labels", y_test, "--output", str(scratch / "run"), "--json",
        "--set", "compute.threads=1",
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    config = load_config(scratch / "run" / "config.yaml")
    return json.loads(done.stdout), seconds, load_dataset(config.data)


def search(dataset: Dataset) -> tuple[float, float, float, float]:
    """Return validation and test accuracy of the best of all C, its l2, and the seconds."""
    from sklearn.linear_model import LogisticRegression

    (x, y), validation, test = (_arrays(dataset, name) for name in ("train", "validation", "test"))
    mean, std = moments(x)
    start = time.perf_counter()
    model = LogisticRegression(max_iter=2000, warm_start=True)
    best: tuple[tuple[float, float], float, float] | None = None
    for l2 in np.geomspace(*_L2, _POINTS):
        model.C = 1 / (2 * l2 * len(x))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # max_iter is reached at the smallest l2
            model.fit((x - mean) / std, y)
        standing = _standing(model, (validation[0] - mean) / std, validation[1])
        if best is None or standing > best[0]:
            right = model.predict((test[0] - mean) / std) == test[1]
            best = standing, float(right.mean()), float(l2)
    if best is None:
        raise ValueError("expected values of C, found none")
    return best[0][0], best[1], best[2], time.perf_counter() - start


def _arrays(dataset: Dataset, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    split = dataset.split(name)
    if split is None:
        raise ValueError(f"expected {name} examples, found none")
    return split.own_features().astype(np.float64), split.own_labels()


def _standing(model: Any, x: NDArray[np.float64], y: NDArray[np.int64]) -> tuple[float, float]:
    """Return accuracy and minus the mean loss."""
    found = model.predict_proba(x)
    right = model.classes_[found.argmax(axis=1)] == y
    own = found[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return float(right.mean()), float(np.log(np.maximum(own, np.finfo(float).tiny)).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probe")
    parser.add_argument("sets", type=pathlib.Path, help="has a folder per set")
    parser.add_argument("--only", nargs="*", default=list(SETS), choices=list(SETS))
    options = parser.parse_args(arguments)
    print(
        "| data | n | d | classes | probe: validation, test | 200 values: validation, test "
        "| difference | standard error | probe's l2, best of 200 | seconds: probe, 200 values |"
    )
    print("|---" * 10 + "|")
    for name in options.only:
        with tempfile.TemporaryDirectory() as scratch:
            found, seconds, dataset = run_probe(options.sets / name, pathlib.Path(scratch))
            validation, test, l2, of_search = search(dataset)
        winner = found["winner"]
        own = winner["test"]["accuracy"]
        error = math.sqrt(test * (1 - test) / winner["test"]["examples"])
        print(
            f"| {name} | {len(dataset.train)} | {dataset.n_features} | {dataset.n_classes} "
            f"| {100 * winner['validation']['accuracy']:.2f}, {100 * own:.2f} "
            f"| {100 * validation:.2f}, {100 * test:.2f} | {100 * (own - test):+.2f} "
            f"| {100 * error:.2f} | {found['settings']['l2']:.2g}, {l2:.2g} "
            f"| {seconds:.1f}, {of_search:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
