"""Trainings of several kinds, on the processes that have started this program.

``mpiexec -n N python -m tests.mpi.kinds FOLDER`` leaves a run directory for each.
"""

import contextlib
import pathlib
import sys

from backprop_cli.communicator import Mpi
from backprop_cli.config import check_config
from backprop_cli.runs.run import Run
from backprop_cli.runs.sweep import Sweep
from backprop_cli.solvers.observer import Observer

DATA = "data: {format: synthetic, examples: 500, size: 8, classes: 4, validation: 61, test: 60}\n"
DOUBLE = "model: {dtype: float64}\n"
KINDS = {
    "softmax": f"{DOUBLE}l2: 0.01\ntraining: {{epochs: 4, batch_size: 16}}",
    "svm": f"{DOUBLE}loss: multiclass_svm\ntraining: {{epochs: 4, batch_size: 30, momentum: 0.9, "
    "nesterov: true, horizontal_flips: true}",
    "early": f"{DOUBLE}label_smoothing: 0.1\ntraining: {{epochs: 60, batch_size: 16, "
    "learning_rate: 0.5, select_by: macro_f1, early_stopping: {patience: 2}}",
    "weights": f"{DOUBLE}training: {{epochs: 1, batch_size: 2, class_weights: balanced, "
    "schedule: {kind: cosine}}",
    "lbfgs": f"{DOUBLE}l2: 0.5\ntraining: {{solver: lbfgs, tolerance: 1.0e-6}}",
    "single": "training: {epochs: 4, batch_size: 16}\ncompute: {backend: numpy}",
    "compiled": "training: {epochs: 4, batch_size: 16, momentum: 0.9, horizontal_flips: true, "
    "class_weights: balanced}\ncompute: {backend: compiled}",
}
SINGLE = ("single", "compiled")  # precision
GRID = [{"l2": 0.0, "training.momentum": 0.0}, {"l2": 0.1, "training.momentum": 0.9}]


def config(text, output, setting=None):
    """Return the config of a kind."""
    whole = f"{DATA}{text}\noutput: '{output}'\n"
    return check_config(whole, "test", (), setting or {})


def train_all(folder, communicator=None):
    """Leave a run directory of each kind in a folder, and one of a sweep."""
    for kind, text in KINDS.items():
        Run(config(text, folder / kind), communicator=communicator).train(Observer())
    text = f"{DOUBLE}training: {{epochs: 3, batch_size: 20}}"
    configs = [config(text, folder / "sweep", setting) for setting in GRID]
    Sweep(configs, GRID, communicator=communicator).run(Observer())


if __name__ == "__main__":
    train_all(pathlib.Path(sys.argv[1]), Mpi(lambda number: None, contextlib.nullcontext))
