"""CIFAR-10 by scikit-learn's LogisticRegression (lbfgs): ``lbfgs.py DIR ITERATIONS``."""

import pathlib
import sys
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from backprop_cli.formats import python2_pickle

folder = pathlib.Path(sys.argv[1])


def load(names):
    batches = [python2_pickle.load(folder / name) for name in names]
    return (
        np.concatenate([batch["data"] for batch in batches]),
        np.concatenate([batch["labels"] for batch in batches]),
    )


x, y = load([f"data_batch_{k}" for k in range(1, 6)])
test_x, test_y = load(["test_batch"])
x, test_x = x.astype(np.float32), test_x.astype(np.float32)
mean, std = x.mean(0), x.std(0)
x, test_x = (x - mean) / std, (test_x - mean) / std
# C is that of J = L + lambda |W|^2 with lambda = 0.01: 1 / (2 lambda n).
model = LogisticRegression(C=1 / (2 * 0.01 * len(x)), max_iter=int(sys.argv[2]))
warnings.simplefilter("ignore", ConvergenceWarning)  # fewer iterations are asked for on purpose
model.fit(x, y)
print(f"test {100 * model.score(test_x, test_y):.2f} %")
