"""Gradients as students write them, each with one mistake, and what its hint must say."""

import textwrap

HEAD = """\
import numpy as np


def softmax(S, axis=0):
    E = np.exp(S - S.max(axis=axis, keepdims=True))
    return E / E.sum(axis=axis, keepdims=True)


def gradient(X, Y, W, b, lam):
    n = X.shape[1]
    S = W @ X + b
    P = softmax(S)
    G = -(Y - P)
    dW = G @ X.T / n + 2 * lam * W
    db = G.sum(axis=1, keepdims=True) / n
    return dW, db
"""
SVM_HEAD = """\
import numpy as np


def gradient(X, Y, W, b, lam):
    n = X.shape[1]
    S = W @ X + b
    margins = S - (Y * S).sum(axis=0) + 1
    A = (margins > 0) * (1 - Y)
    G = A - A.sum(axis=0) * Y
    dW = G @ X.T / n + 2 * lam * W
    db = G.sum(axis=1, keepdims=True) / n
    return dW, db
"""


def softmax_with(old, new):
    assert HEAD.count(old) == 1, old
    return HEAD.replace(old, new), "softmax_cross_entropy"


def svm_with(old, new):
    assert SVM_HEAD.count(old) == 1, old
    return SVM_HEAD.replace(old, new), "multiclass_svm"


NAMED = {
    "factor 2 of the penalty": (*softmax_with("2 * lam * W", "lam * W"), "dW: the factor 2"),
    "no penalty": (*softmax_with(" + 2 * lam * W", ""), "dW: the penalty is missing"),
    "not divided by n": (
        *softmax_with("G @ X.T / n", "G @ X.T"), "dW: not divided by the number of examples, 20",
    ),
    "sign": (*softmax_with("-(Y - P)", "Y - P"), "dW and db: the data term has the wrong sign"),
    "transposed": (*softmax_with("return dW, db", "return dW.T, db"), "dW is transposed"),
    "bias forgotten": (
        *softmax_with("W @ X + b", "W @ X"), "dW and db: b is left out of the scores",
    ),
    "off by one class": (
        *softmax_with("-(Y - P)", "-(np.roll(Y, 1, axis=0) - P)"), "G is off by one class",
    ),
    "axis of SoftMax": (*softmax_with("softmax(S)\n", "softmax(S, axis=1)\n"), "over the examples"),
    "sum in place of mean": (
        *softmax_with("keepdims=True) / n", "keepdims=True)"), "db: not divided by the number",
    ),
    "penalty on b": (*softmax_with("return dW", "db += 2 * lam * b\n    return dW"), "db: b has a"),
    "last example": (
        *softmax_with("    dW =", "    G[:, -1] = 0\n    dW ="), "the last example is left out",
    ),
    "Y not subtracted": (*softmax_with("-(Y - P)", "P"), "Y is not subtracted"),
    "db never computed": (*softmax_with("return dW, db", "return dW, 0 * b"), "db: 0 every"),
    "in place": (*softmax_with("    n =", "    X -= X.mean()\n    n ="), "X is changed in place"),
    "divided by classes": (
        *softmax_with("n = X.shape[1]", "n = len(Y)"), "divided by the number of classes, 3, in",
    ),
    "SVM, true class": (*svm_with("A - A.sum(axis=0) * Y", "A"), "the true class has no gradient"),
    "SVM, margin": (*svm_with(" + 1", ""), "the margin of 1 is left out"),
    "SVM, size": (
        *svm_with("(margins > 0) *", "np.maximum(0, margins) *"), "violations count by their size",
    ),
    "first example": (
        *softmax_with("    dW =", "    G[:, 1:] = 0\n    dW ="), "only the first example counts",
    ),
    "last example alone, not divided": (
        *softmax_with(
            "    dW = G @ X.T / n + 2 * lam * W\n    db = G.sum(axis=1, keepdims=True) / n\n",
            "    for x, g in zip(X.T, G.T):\n        dW, db = np.outer(g, x), g\n"
            "    dW = dW + 2 * lam * W\n",
        ), "only the last example counts: is it dW =",
    ),
    "SoftMax, SVM meant": (
        HEAD, "multiclass_svm",
        "the gradient is that of softmax_cross_entropy, and the loss is multiclass_svm",
    ),
    "SVM, SoftMax meant": (
        SVM_HEAD, "softmax_cross_entropy",
        "the gradient is that of multiclass_svm, and the loss is softmax_cross_entropy",
    ),
    "integers": (
        *softmax_with(
            "    dW = G", "    dW = np.zeros(W.shape, int)\n    dW[...] = 1000 * G"
        ), "dW: an array of int64, which cuts off what is behind the point",
    ),
}  # fmt: skip
"""Text of the file, loss, and a part of the hint."""

UNNAMED = {
    "noise": softmax_with("return dW", "dW[1, 2] += 0.01\n    return dW"),
    "tanh": softmax_with("W @ X + b", "np.tanh(W @ X + b)"),
    "one feature": softmax_with("return dW", "dW[:, 5] *= 1.01\n    return dW"),
}
"""Mistakes that are found but have no name."""

FAULTY = {
    "no such function": ("def grad():\n    pass\n", "there is no function 'gradient'"),
    "syntax": ("def gradient(X, Y, W, b, lam)\n    pass\n", ":1: cannot be executed: SyntaxError"),
    "raises": (HEAD.replace("G @ X.T", "G @ X"), ":14: gradient failed: ValueError"),
    "raises at import": ("import no_such_module\n", ":1: cannot be executed: ModuleNotFoundError"),
    "exits": ("raise SystemExit(0)\n", "cannot be executed: SystemExit"),
    "returns nothing": (HEAD.replace("    return dW, db\n", ""), "returned nothing"),
    "returns text": (HEAD.replace("dW, db\n", "'a', db\n"), "dW is str"),
    "wrong shape": (HEAD.replace("return dW", "return dW[:-1]"), "dW has shape (2, 75)"),
    "G as db": (HEAD.replace("return dW, db", "return dW, G"), "shape of G"),
    "other parameters": ("def gradient(a, b):\n    return 1\n", "takes (a, b), expected (X, Y, W"),
    "a stop of its own": (
        HEAD.replace("    n =", "    raise KeyboardInterrupt\n    n ="),
        "gradient failed: KeyboardInterrupt",
    ),
    "asks": (HEAD.replace("    n =", "    input()\n    n ="), "gradient failed: EOFError"),
    "complex": (HEAD.replace("return dW", "return dW + 0j"), "dW has complex numbers"),
    "objects": (HEAD.replace("return dW", "return dW.astype(object)"), "dW is an array of objects"),
    "ragged": (HEAD.replace("return dW", "return [[1, 2], [3]]"), "dW is no array of numbers"),
    "recursion": ("def gradient(X, Y, W, b, lam):\n    gradient(X, Y, W, b, lam)\n", "Recursion"),
}
"""Text of the file, and a part of the one line."""

FATAL = {
    "leaves": ("import os\nos._exit(0)\n", "its process ended, with exit status 0, before"),
    "segmentation fault": (
        HEAD.replace("    n =", "    import ctypes\n    ctypes.string_at(0)\n    n ="),
        "its process was ended by SIGSEGV before",
    ),
    "killed": (
        "import os\nos.kill(os.getpid(), 9)\n", "its process was ended by SIGKILL (out of memory?)",
    ),
    "endless": (HEAD.replace("    n =", "    while True: pass\n    n ="), "has not returned after"),
}  # fmt: skip
"""What ends a process, or keeps it: text of the file, and a part of the one line."""

RIGHT = {
    "five arrays": (HEAD, "softmax_cross_entropy"),
    "SVM": (SVM_HEAD, "multiclass_svm"),
    "float32": softmax_with("return dW, db", "return dW.astype('f'), db.astype('f')"),
    "a flat db": softmax_with("return dW, db", "return dW, db.ravel()"),
    "network": softmax_with(
        "def gradient(X, Y, W, b, lam):\n",
        "def gradient(X, Y, network, lam):\n    W, b = network['W'], network['b']\n",
    ),
    "course": (
        textwrap.dedent(
            """\
            def gradient(X, Y, P, network, lam):
                n = X.shape[1]
                G = P - Y
                return {
                    "W": G @ X.T / n + 2 * lam * network["W"],
                    "b": G.mean(axis=1, keepdims=True),
                }
            """
        ),
        "softmax_cross_entropy",
    ),
}
