"""What `fit` is asked for and cannot do is one error, before any engine reads an example.

The kernels do not check what they are given: such rows and labels once read and wrote memory that
was not theirs. So each case runs in a process of its own, which may crash and take no test along.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from backprop_cli.errors import ConfigError, DataError
from backprop_cli.fitting import fit
from backprop_cli.sources import ImageLayout
from tests.make import dataset, job, split

ENGINES = ["numpy", "compiled"]
N, D = 60, 12
SVM = "multiclass_svm"


def features(n=N, d=D):
    return np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)


def labels(*first):
    """Return labels 0 1 0 1 ..., but for the first ones."""
    return np.concatenate([first, np.arange(len(first), N) % 2])


def rows(*last):
    return np.concatenate([np.arange(N - len(last)), last])


def weighted(weights):
    """Return a split whose examples have weights."""
    whole = split(features())
    source = dataclasses.replace(whole.source, example_weights=weights)
    return dataclasses.replace(whole, source=source)


GOOD = split(features())
CASES = {
    "a label beyond the classes": (
        dataset(split(features(), labels(4_000_000)), GOOD, n_classes=2),
        "labels from 0 to 4000000, expected 0 to 1",
    ),
    "a label below 0": (
        dataset(split(features(), labels(-1)), GOOD), "labels from -1 to 1, expected 0 to 1",
    ),
    "a validation label beyond the classes": (
        dataset(GOOD, split(features(), labels(4_000_000))), "labels from 0 to 4000000",
    ),
    "validation examples with fewer features": (
        dataset(GOOD, split(features(d=D - 5))), "expected examples of the same size",
    ),
    "validation examples with more features": (
        dataset(GOOD, split(features(d=D + 5))), "expected examples of the same size",
    ),
    "images of another size": (
        dataset(split(features(), image=ImageLayout(3, 2, 3))),
        "expected images of 3 x 2 x 3 numbers, found 12 features",
    ),
    "rows beyond the last": (
        dataset(split(features(), rows=rows(N, 10**9))), "expected rows 0 to 59",
    ),
    "rows below 0": (dataset(split(features(), rows=rows(-(10**9)))), "expected rows 0 to 59"),
    "validation rows beyond the last": (
        dataset(GOOD, split(features(), rows=rows(10**9))), "expected rows 0 to 59",
    ),
    "no training examples": (
        dataset(split(features(), rows=np.arange(0))), "found a split without rows",
    ),
    "no validation examples": (
        dataset(GOOD, split(features(), rows=np.arange(0))), "found a split without rows",
    ),
    "fewer weights than examples": (
        dataset(weighted(np.ones(N - 1))), f"expected {N} numbers of float64, found {N - 1}",
    ),
    "weights of another type": (
        dataset(weighted(np.ones(N, int))), f"expected {N} numbers of float64, found {N} of int64",
    ),
    "a negative weight": (dataset(weighted(-np.ones(N))), "expected finite numbers >= 0"),
    "a source without examples": (
        dataset(GOOD, split(features(n=0))), "found a split without rows",
    ),
}  # fmt: skip
FIT = """\
import json, sys
from backprop_cli.errors import DataError
from backprop_cli.fitting import fit
from tests.make import job
from tests.solvers.test_start import CASES
case, engine = sys.argv[1:]
try:
    fit(CASES[case][0], *job(engine=engine, horizontal_flips="images" in case))
except DataError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ENGINES)
def test_data_that_the_engines_cannot_take_is_one_error(engine, case):
    if engine == "compiled":
        pytest.importorskip("numba", reason="needs the extra: fast")
    root = str(pathlib.Path(__file__).parents[2])
    process = subprocess.run(
        [sys.executable, "-c", FIT, case, engine],
        env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (0, "")
    told = json.loads(process.stdout)
    assert told.startswith("some data: ")
    assert CASES[case][1] in told
    assert "\n" not in told


@pytest.mark.parametrize("engine", ENGINES)
def test_the_svm_takes_no_smoothed_labels(engine):
    with pytest.raises(ConfigError, match=f"label_smoothing: {SVM} takes one-hot targets only"):
        fit(dataset(GOOD), *job({}, {"loss": SVM, "label_smoothing": 0.1}, engine=engine))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_rules", [0, 1, 3])
def test_each_model_needs_a_rule(engine, n_rules):
    settings, solver = job({}, {}, engine=engine)
    solver = dataclasses.replace(solver, rules=solver.rules[:1] * n_rules)
    told = f"expected a rule for each model, found {n_rules} for 2 models"
    with pytest.raises(ConfigError, match=told):
        fit(dataset(GOOD), settings, solver)


def test_a_single_class_is_refused_as_by_scikit_learn():
    single = dataset(split(features(), labels=np.ones(N)), GOOD, n_classes=2)
    told = "some data: the class of every training example is '1'.* at least two classes"
    with pytest.raises(DataError, match=told):
        fit(single, *job())
