"""The table of operations: the value of each, and its Jacobian with respect to each parent.

A value is a function of the parents' values, a Jacobian a function of the node's value and the
parents' values. Jacobians are in numerator layout, (size of the node) x (size of the parent).

To add an operation, add an entry here and an example of its parents to the tests. The tests compare
the Jacobians with differences of the value, and fail for an operation without an example.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from backprop_cli.graph.jacobians import Array, Diagonal, Kronecker, SoftMaxJacobian
from backprop_cli.graph.operation import Derivative, Operation, Shape


def _row(values: Array) -> Array:
    """Return the values as one row, 1 x size."""
    return np.reshape(values, (1, -1))


def _same_vectors(*shapes: Shape) -> bool:
    return len(shapes[0]) == 1 and all(shape == shapes[0] for shape in shapes)


def _same_vectors_or_scalars(*shapes: Shape) -> bool:
    return len(shapes[0]) <= 1 and all(shape == shapes[0] for shape in shapes)


def _all_scalars(*shapes: Shape) -> bool:
    return all(shape == () for shape in shapes)


# --- SoftMax ---------------------------------------------------------------------------------


def _softmax(s: Array) -> Array:
    """SoftMax, p = exp(s) / (1^T exp(s)), with the largest score subtracted against overflow."""
    exponentials = np.exp(s - s.real.max())
    p: Array = exponentials / exponentials.sum()
    return p


# --- Cross-entropy ---------------------------------------------------------------------------
# A class with y_k = 0 contributes 0, even if p_k = 0. A class with y_k > 0 and p_k = 0 makes the
# loss infinite: log 0 = -inf is intended.


def _cross_entropy(p: Array, y: Array) -> Array:
    """Cross-entropy, l = -y^T log(p)."""
    counted = y != 0
    with np.errstate(divide="ignore"):
        return np.asarray(-(y[counted] @ np.log(p[counted])))


def _cross_entropy_by_p(loss: Array, p: Array, y: Array) -> Array:
    """dl/dp = -y^T diag(p)^-1, 1 x C."""
    counted = y != 0
    quotient = np.zeros_like(p)
    with np.errstate(divide="ignore"):
        quotient[counted] = y[counted] / p[counted]
    return _row(-quotient)


def _cross_entropy_by_y(loss: Array, p: Array, y: Array) -> Array:
    """dl/dy = -log(p)^T, 1 x C."""
    with np.errstate(divide="ignore"):
        return _row(-np.log(p))


# --- Transpose -------------------------------------------------------------------------------


def _of_transpose(A: Array) -> Array:
    """vec(A^T) = K vec(A): a permutation, as vec stacks rows."""
    order = np.arange(A.size).reshape(A.shape).T.ravel()
    K: Array = np.eye(A.size)[order]
    return K


# --- Multi-class SVM -------------------------------------------------------------------------
# For one-hot y, y^T s is the score of the true class, and 1 - y leaves that class out. The
# Jacobians hold for any y, with m = s - y^T s + 1 and a_j = (1 - y_j) [m_j > 0].


def _margins(s: Array, y: Array) -> Array:
    m: Array = s - y @ s + 1
    return m


def _multiclass_svm(s: Array, y: Array) -> Array:
    """Weston-Watkins loss, l = sum over j of (1 - y_j) max(0, s_j - y^T s + 1)."""
    return np.asarray((1 - y) @ _relu(_margins(s, y)))


def _multiclass_svm_by_s(loss: Array, s: Array, y: Array) -> Array:
    """dl/ds = a^T - (1^T a) y^T, 1 x C."""
    a = (1 - y) * _step(_margins(s, y))
    return _row(a - a.sum() * y)


def _multiclass_svm_by_y(loss: Array, s: Array, y: Array) -> Array:
    """dl/dy = -max(0, m)^T - (1^T a) s^T, 1 x C."""
    m = _margins(s, y)
    a = (1 - y) * _step(m)
    return _row(-_relu(m) - a.sum() * s)


# --- Functions of one number, applied to each entry --------------------------------------------


def _relu(x: Array) -> Array:
    return np.where(x.real > 0, x, 0)


def _step(x: Array) -> Array:
    """Return the derivative of relu: 1 where x > 0, otherwise 0 (also at the kink)."""
    return np.where(x.real > 0, 1.0, 0.0)


def _elementwise(
    name: str,
    formula: str,
    value: Callable[[Array], Array],
    derivative_formula: str,
    derivative: Callable[[Array, Array], Array],
    *,
    analytic: bool = True,
) -> Operation:
    """Return the operation u_i = f(x_i). Its Jacobian is diag(f'(x)), with f' given as f'(u, x)."""
    return Operation(
        name,
        f"{{u}} = {formula}",
        value,
        (Derivative(f"diag({derivative_formula})", lambda u, x: Diagonal(derivative(u, x))),),
        "a scalar or a vector",
        _same_vectors_or_scalars,
        analytic,
    )


# --- The table ---------------------------------------------------------------------------------

_TABLE = (
    # The linear scores, z = W x and s = z + b.
    Operation(
        "matrix_vector",
        "{u} = {0} {1}",
        lambda W, x: W @ x,
        (
            Derivative("I_C ⊗ {1}ᵀ", lambda z, W, x: Kronecker(len(W), x)),
            Derivative("{0}", lambda z, W, x: W),
        ),
        "(C, d) and (d,)",
        lambda W, x: len(W) == 2 and x == W[1:],
        description="Each row of W times the features.",
    ),
    Operation(
        "add",
        "{u} = {0} + {1}",
        lambda z, b: z + b,
        (
            Derivative("I_C", lambda s, z, b: Diagonal(np.ones(z.size))),
            Derivative("I_C", lambda s, z, b: Diagonal(np.ones(b.size))),
        ),
        "two vectors (C,) or two scalars",
        _same_vectors_or_scalars,
        description="The bias is added. These are the scores.",
    ),
    # The single score s of a two-class classifier stands for the pair (-s/2, +s/2). SoftMax then
    # gives (1 - sigmoid(s), sigmoid(s)), and the SVM loss is max(0, 1 + s) or max(0, 1 - s).
    Operation(
        "two_scores",
        "{u} = (−{0}/2, +{0}/2)",
        lambda s: np.concatenate([-s / 2, s / 2]),
        (Derivative("(−1/2, +1/2)ᵀ", lambda t, s: np.array([[-0.5], [0.5]])),),
        "(1,)",
        lambda s: s == (1,),
        description="The single score stands for a pair, one score per class.",
    ),
    # The steps of the losses.
    Operation(
        "softmax",
        "{u} = exp({0}) / (1ᵀ exp({0}))",
        _softmax,
        (Derivative("diag({u}) − {u} {u}ᵀ", lambda p, s: SoftMaxJacobian(p)),),
        "(C,)",
        lambda s: len(s) == 1 and s != (0,),
        description="The scores become probabilities: positive numbers with sum 1.",
    ),
    Operation(
        "cross_entropy",
        "{u} = −{1}ᵀ log({0})",
        _cross_entropy,
        (
            Derivative("−{1}ᵀ diag({0})⁻¹", _cross_entropy_by_p),
            Derivative("−log({0})ᵀ", _cross_entropy_by_y),
        ),
        "(C,) and (C,)",
        _same_vectors,
        description="The loss: minus the log of the probability of the target.",
    ),
    Operation(
        "multiclass_svm",
        "{u} = Σⱼ (1 − {1}ⱼ) max(0, {0}ⱼ − {1}ᵀ{0} + 1)",
        _multiclass_svm,
        (
            Derivative(
                "aᵀ − (1ᵀa) {1}ᵀ, aⱼ = (1 − {1}ⱼ) [{0}ⱼ − {1}ᵀ{0} + 1 > 0]", _multiclass_svm_by_s
            ),
            Derivative(
                "−max(0, {0} − {1}ᵀ{0} + 1)ᵀ − (1ᵀa) {0}ᵀ, a as for {0}", _multiclass_svm_by_y
            ),
        ),
        "(C,) and (C,)",
        _same_vectors,
        analytic=False,
        description="The loss: each wrong class adds to it unless its score is at least 1 below "
        "that of the true class.",
    ),
    # The cost: the mean loss of a mini-batch, and the penalty on W.
    Operation(
        "mean",
        "{u} = mean({all})",
        lambda *losses: sum(losses) / len(losses),
        (
            Derivative(
                "1/n", lambda position, L, *losses: np.full((1, 1), 1 / len(losses)), repeated=True
            ),
        ),
        "n scalars",
        _all_scalars,
        description="The mean of the losses.",
    ),
    Operation(
        "weighted_mean",
        "{u} = {0}ᵀ ({rest}) / n",
        lambda v, *losses: v @ np.array(losses) / len(losses),
        (
            Derivative("({rest}) / n", lambda L, v, *losses: _row(np.array(losses) / len(losses))),
            Derivative(
                "{0}_{i} / n",
                lambda position, L, v, *losses: _row(v[position - 1] / len(losses)),
                repeated=True,
            ),
        ),
        "weights (n,) and n scalars",
        lambda v, *losses: v == (len(losses),) and _all_scalars(*losses),
        description="The mean of the losses, each times the weight of its example.",
    ),
    Operation(
        "sum_of_squares",
        "{u} = Σ {0}ᵢⱼ²",
        lambda W: np.sum(W * W),
        (Derivative("2 vec({0})ᵀ", lambda r, W: _row(2 * W)),),
        "any shape",
        lambda W: True,
        description="The penalty: the sum of the squares of all weights.",
    ),
    Operation(
        "regularized",
        "{u} = {0} + {1} {2}",
        lambda loss, lambda_, r: loss + lambda_ * r,
        (
            Derivative("1", lambda J, loss, lambda_, r: np.eye(1)),
            Derivative("{2}", lambda J, loss, lambda_, r: _row(r)),
            Derivative("{1}", lambda J, loss, lambda_, r: _row(lambda_)),
        ),
        "three scalars",
        _all_scalars,
        description="The cost: the loss plus lambda times the penalty.",
    ),
    # Products, and functions of one number.
    Operation(
        "multiply",
        "{u} = {0} ⊙ {1}",
        lambda x, y: x * y,
        (
            Derivative("diag({1})", lambda u, x, y: Diagonal(y)),
            Derivative("diag({0})", lambda u, x, y: Diagonal(x)),
        ),
        "two vectors of one size or two scalars",
        _same_vectors_or_scalars,
    ),
    Operation(
        "dot",
        "{u} = {0}ᵀ {1}",
        lambda x, y: x @ y,
        (
            Derivative("{1}ᵀ", lambda u, x, y: _row(y)),
            Derivative("{0}ᵀ", lambda u, x, y: _row(x)),
        ),
        "two vectors of one size",
        _same_vectors,
    ),
    Operation(
        "subtract",
        "{u} = {0} − {1}",
        lambda x, y: x - y,
        (
            Derivative("I", lambda u, x, y: Diagonal(np.ones(x.size))),
            Derivative("−I", lambda u, x, y: Diagonal(-np.ones(y.size))),
        ),
        "two vectors of one size or two scalars",
        _same_vectors_or_scalars,
    ),
    Operation(
        "divide",
        "{u} = {0} / {1}",
        lambda x, y: x / y,
        (
            Derivative("diag(1/{1})", lambda u, x, y: Diagonal(1 / y)),
            Derivative("diag(−{u}/{1})", lambda u, x, y: Diagonal(-u / y)),
        ),
        "two vectors of one size or two scalars",
        _same_vectors_or_scalars,
    ),
    Operation(
        "scale",
        "{u} = {0} {1}",
        lambda a, x: a * x,
        (
            Derivative("vec({1})", lambda u, a, x: np.reshape(x, (-1, 1))),
            Derivative("{0} I", lambda u, a, x: Diagonal(a * np.ones(x.size))),
        ),
        "a scalar, and a vector or a matrix",
        lambda a, x: a == () and x != (),
    ),
    Operation(
        "matrix_product",
        "{u} = {0} {1}",
        lambda A, B: A @ B,
        (
            Derivative("I ⊗ {1}ᵀ", lambda u, A, B: np.kron(np.eye(len(A)), B.T)),
            Derivative("{0} ⊗ I", lambda u, A, B: np.kron(A, np.eye(B.shape[1]))),
        ),
        "(p, q) and (q, r)",
        lambda A, B: len(A) == len(B) == 2 and A[1] == B[0],
    ),
    Operation(
        "transpose",
        "{u} = {0}ᵀ",
        lambda A: A.T,
        (Derivative("K, vec({u}) = K vec({0})", lambda u, A: _of_transpose(A)),),
        "a matrix",
        lambda A: len(A) == 2,
    ),
    Operation(
        "sum",
        "{u} = Σ {0}ᵢ",
        np.sum,
        (Derivative("1ᵀ", lambda u, x: np.ones((1, x.size))),),
        "a vector or a matrix",
        lambda x: x != (),
    ),
    _elementwise(
        "sigmoid",
        "1/(1 + exp(−{0}))",
        lambda x: 1 / (1 + np.exp(-x)),
        "{u} (1 − {u})",
        lambda u, x: u * (1 - u),
    ),
    _elementwise("square", "{0}²", lambda x: x * x, "2 {0}", lambda u, x: 2 * x),
    _elementwise("sin", "sin({0})", np.sin, "cos({0})", lambda u, x: np.cos(x)),
    _elementwise("cos", "cos({0})", np.cos, "−sin({0})", lambda u, x: -np.sin(x)),
    _elementwise("exp", "exp({0})", np.exp, "{u}", lambda u, x: u),
    _elementwise("log", "log({0})", np.log, "1/{0}", lambda u, x: 1 / x),
    _elementwise("tanh", "tanh({0})", np.tanh, "1 − {u}²", lambda u, x: 1 - u * u),
    _elementwise("relu", "max(0, {0})", _relu, "[{0} > 0]", lambda u, x: _step(x), analytic=False),
)

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _TABLE}
"""The operations by name."""
