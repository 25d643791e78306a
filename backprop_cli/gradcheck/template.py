"""What `backprop gradcheck --template` writes: a gradient to fill in."""

TEMPLATE = '''\
"""Your own gradient of a linear classifier's cost. Check it with

    backprop gradcheck --config FILE --against FILE.py:gradient

X is d x n, one example per column. Y is C x n, one target per column (one-hot). W is C x d, b is
C x 1, and lam is lambda. The cost is

    J = 1/n (sum over the examples of the loss) + lam * (sum of the squares of W).

Instead of W and b, a function may take the course's dict, network = {"W": W, "b": b}, as in
gradient(X, Y, network, lam) or gradient(X, Y, P, network, lam), and return
{"W": dW, "b": db}.

With model.outputs: 1, for two classes, W is 1 x d and b 1 x 1, and Y is still 2 x n. The one
score s stands for the scores -s/2 and +s/2 of the two classes: the probability of the second is
1 / (1 + exp(-s)), and P, where a function asks for it, is 2 x n. dW is 1 x d, and db 1 x 1.

The function is called once, in a process of its own, and may take 60 seconds. What it prints goes
to stderr; it cannot ask for input. X, Y, W and b are copies in float64.
"""

import numpy as np


def gradient(X, Y, W, b, lam):
    """Return dJ/dW, C x d, and dJ/db, C x 1."""
    n = X.shape[1]
    S = W @ X + b  # the scores, C x n

    # TODO: P = SoftMax(S), column by column; G = -(Y - P).
    G = np.zeros_like(S)

    # TODO: dL/dW = G X^T / n plus the penalty's gradient; dL/db = G 1 / n.
    dW = np.zeros_like(W)
    db = np.zeros_like(b)
    return dW, db
'''
