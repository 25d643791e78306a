"""Data sets in memory, settings and trainings, with defaults where tests do not care."""

import numpy as np

from backprop_cli.fitting import prepare
from backprop_cli.losses import LOSSES
from backprop_cli.settings import ModelSettings, Settings
from backprop_cli.solvers.methods import FullBatchLbfgs, MiniBatchDescent, Rule
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.schedules import Constant
from backprop_cli.sources import Dataset, Extent, Source, Split, StoredFeatures

_MODEL = {
    "loss": "softmax_cross_entropy", "l2": 0.0, "label_smoothing": 0.0, "seed": 42,
    "initial_std": 0.01,
}  # fmt: skip
_RULE = {"learning_rate": 0.01, "schedule": Constant(), "momentum": 0.0, "nesterov": False}
_SETTINGS = {
    "dtype": "float32", "single_output": False, "standardize": "per_feature",
    "class_weights": None, "engine": "numpy", "threads": 1,
}  # fmt: skip
_SOLVER = {
    "epochs": 2, "batch_size": 32, "seed": 42, "horizontal_flips": False,
    "select_by": "accuracy", "keep": "best", "patience": None, "evaluate_every": 1,
    "train_figures": "evaluation",
}  # fmt: skip


def split(features, labels=None, rows=None, image=None):
    """Return some rows, by default all, of arrays; by default of labels 0 1 0 1 ..."""
    features = np.asarray(features)
    labels = np.arange(len(features)) % 2 if labels is None else np.asarray(labels, np.int64)
    rows = np.arange(len(features)) if rows is None else np.asarray(rows)
    return Split(Source(features, labels, "some data", image), rows)


def dataset(train, validation=None, test=None, n_classes=None):
    """Return a data set of splits; by default with the classes of the training split."""
    n_classes = n_classes or int(train.source.labels.max()) + 1
    return Dataset(train, validation, test, tuple(map(str, range(n_classes))))


def job(*models, **common):
    """Return settings and a solver for models, each a mapping of what it has of its own."""
    known = {*_MODEL, *_RULE, *_SETTINGS, *_SOLVER}
    all_models = [{**common, **own} for own in models or ({},)]
    for given in all_models:
        assert set(given) <= known, set(given) - known

    def chosen(defaults, given):
        return {key: given.get(key, value) for key, value in defaults.items()}

    stack = [chosen(_MODEL, own) for own in all_models]
    settings = Settings(
        models=tuple(ModelSettings(**{**own, "loss": LOSSES[own["loss"]]}) for own in stack),
        **chosen(_SETTINGS, common),
    )
    rules = tuple(Rule(**chosen(_RULE, own)) for own in all_models)
    return settings, MiniBatchDescent(rules=rules, **chosen(_SOLVER, common))


def descent(data, *models, communicator=None, **common):
    """Return training before its first step."""
    settings, solver = job(*models, **common)
    return prepare(data, settings, solver, communicator)


def trained(data, *models, observer=None, **common):
    """Return training after its last step."""
    training = descent(data, *models, **common)
    training.run(observer or Observer())
    return training


def to_optimum(data, *models, tolerance=1e-8, communicator=None, observer=None, **common):
    """Return training by L-BFGS after its last step."""
    settings, solver = job(*models, **common)
    method = FullBatchLbfgs(tolerance, solver.select_by)
    training = prepare(data, settings, method, communicator)
    training.run(observer or Observer())
    return training


def stored_source(folder, features, labels, memory, n_files=1, **more):
    """Return a source whose features stay in a file, or in several."""
    extents = []
    for k, part in enumerate(np.array_split(features, n_files)):
        path = folder / f"stored-{k}"
        path.write_bytes(np.ascontiguousarray(part).tobytes())
        extents.append(Extent(path, 0, len(part)))
    stored = StoredFeatures(extents, features.shape[1], features.dtype, memory=memory)
    return Source(stored, np.asarray(labels, np.int64), "a file", **more)
