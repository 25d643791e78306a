"""A fit by `LinearClassifier` on arrays in files: ``estimator.py FEATURES LABELS EPOCHS``."""

import sys
import time

import numpy as np

from backprop_cli import LinearClassifier

x, y = np.load(sys.argv[1]), np.load(sys.argv[2])
start = time.perf_counter()
fitted = LinearClassifier(
    epochs=int(sys.argv[3]), learning_rate=0.001, l2=0.001, backend="compiled"
).fit(x, y)
print(f"fit {time.perf_counter() - start:.2f} s, cost {fitted.cost_:.6f}")
