"""Names the mistake in a gradient, where it is a typical one.

A gradient of the cost is a data term G X^T / n and a penalty 2 lambda W. Each variant below is what
a typical mistake makes of G. If the gradient is a multiple of a variant's data term plus a multiple
of the penalty, the variant names the mistake in G, and the two factors name what is wrong with the
division by n, the sign, and the penalty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from backprop_cli.gradcheck.own import OwnAnswer
from backprop_cli.gradcheck.problem import Problem
from backprop_cli.losses import LOSSES, MULTICLASS_SVM, SOFTMAX_CROSS_ENTROPY, Loss, Vector

_FITS = 1e-6  # of the gradient's norm: what a right pattern leaves unexplained
_SAME = 1e-5  # relative; two factors this close are one
_MAX_LISTED = 5
_ONE = "example counts"  # in what is said where one example's gradient stands for all


def hints(problem: Problem, answer: OwnAnswer, wrong: Collection[str]) -> list[str]:
    """Return what is wrong with a gradient, a line for each mistake that has a name.

    Parameters
    ----------
    problem, answer
        The cost, and what the user's function returned.
    wrong
        W, b: whose gradient is wrong.
    """
    found = [f"{name} is changed in place: work on a copy" for name in answer.changed]
    dW = answer.dW
    if answer.transposed:
        found.append(f"dW is transposed: expected C x d, {' x '.join(map(str, dW.shape))}")
    elif dW.shape[0] == dW.shape[1] and _explained(problem, "W", dW) is None:
        turned = _explained(problem, "W", dW.T)
        if turned is not None:
            found, dW = [*found, "dW is transposed"], dW.T
    about = {
        f"d{name}": _of_integers(answer.integers.get(name)) or _about(problem, name, gradient)
        for name, gradient in (("W", dW), ("b", answer.db))
        if name in wrong
    }
    both = [line for line in about.get("dW", []) if line in about.get("db", [])]
    found += [f"dW and db: {line}" for line in both]
    for name, lines in about.items():
        found += [f"{name}: {line}" for line in lines if line not in both]
    return found


def places(values: Vector, others: Vector, floor: float, tolerance: float) -> list[str]:
    """Return which rows and columns of a gradient are wrong, in words.

    Parameters
    ----------
    values, others
        The gradient, and what it should be: O x d or O.
    floor, tolerance
        As for a `Comparison`.
    """
    with np.errstate(invalid="ignore"):
        size = np.maximum(np.abs(values) + np.abs(others), floor)
        wrong = ~(np.abs(values - others) <= tolerance * size)
    if not wrong.any():
        return []
    if wrong.ndim == 1:
        return [_listed("entry", "entries", wrong)]
    rows, columns = wrong.any(axis=1), wrong.any(axis=0)
    return [_listed("row", "rows", rows), _listed("column", "columns", columns)]


def _listed(one: str, several: str, wrong: Vector) -> str:
    k, n = int(wrong.sum()), len(wrong)
    if k == n:
        return f"all {n} {several}" if n > 1 else f"the only {one}"
    shown = ", ".join(map(str, np.flatnonzero(wrong)[:_MAX_LISTED]))
    if k > _MAX_LISTED:
        return f"{k} of {n} {several}: {shown}, ..."
    return f"{one if k == 1 else several} {shown} of {n}"


def _of_integers(dtype: str | None) -> list[str]:
    if dtype is None:
        return []
    return [f"an array of {dtype}, which cuts off what is behind the point: make it of float64"]


def _about(problem: Problem, parameter: str, gradient: Vector) -> list[str]:
    if not np.isfinite(gradient).all():
        return ["not finite (NaN or infinity)"]
    if not gradient.any():
        return ["0 everywhere: it is not computed"]
    return _explained(problem, parameter, gradient) or []


def _explained(problem: Problem, parameter: str, gradient: Vector) -> list[str] | None:
    """Return the mistakes that explain a gradient by one parameter; None if none do."""
    n = len(problem.rows)
    theta = problem.parameters[parameter]
    for mistake, G in _variants(problem):
        data = (G @ problem.rows if parameter == "W" else G.sum(axis=1)) / n
        for shape, penalty in _penalties(problem, theta):
            terms = [data] if penalty is None else [data, penalty]
            factors = _factors(gradient, terms)
            if factors is None or (shape and abs(factors[1]) < _SAME):
                continue
            lines = [mistake] if mistake and abs(factors[0]) > _SAME else []
            lines += _data_lines(factors[0], problem, of_all=_ONE not in mistake)
            if penalty is not None and parameter == "b":
                lines += ["b has a penalty; only W has one"] if abs(factors[1]) > _SAME else []
            elif penalty is not None:
                lines += [shape] if shape else _penalty_lines(factors[1], problem)
            return lines
    return None


def _factors(gradient: Vector, terms: Sequence[Vector]) -> list[float] | None:
    """Return the factors with which the terms add up to a gradient, if they do."""
    A = np.stack([term.ravel() for term in terms], axis=1)
    sizes = np.linalg.norm(A, axis=0)
    if not np.isfinite(A).all() or not sizes.all():
        return None
    solution = np.linalg.lstsq(A / sizes, gradient.ravel(), rcond=None)[0]
    left = np.linalg.norm(A / sizes @ solution - gradient.ravel())
    if left > _FITS * np.linalg.norm(gradient):
        return None
    return [float(factor) for factor in solution / sizes]


def _penalties(problem: Problem, theta: Vector) -> Iterator[tuple[str, Vector | None]]:
    """Yield what may stand for the penalty's gradient; a sentence for what is not it."""
    if problem.l2 == 0 or theta.size == 1:  # one number is a sum of any two terms
        yield "", None
        return
    yield "", 2 * problem.l2 * theta
    if theta.ndim == 2:
        yield "the penalty's gradient has W^2 where it should have W", problem.l2 * theta**2
        yield "the penalty's gradient has no W", np.full_like(theta, problem.l2)
        yield "the penalty is that of |W|, not of W^2", problem.l2 * np.sign(theta)


def _data_lines(factor: float, problem: Problem, *, of_all: bool) -> list[str]:
    """Return what a factor of the data term means; of a single example's, only a sign does."""
    n, C, d = len(problem.rows), len(problem.Y), problem.W.shape[1]
    if abs(factor) < _SAME:
        return ["the data term, G X^T / n or G 1 / n, is missing"]
    lines = ["the data term has the wrong sign: G = P - Y = -(Y - P)"] if factor < 0 else []
    if not of_all:
        return lines
    names = [
        (1.0, ""),
        (float(n), f"not divided by the number of examples, {n}"),
        (1 / n, f"divided by the number of examples, {n}, twice"),
        (n / C, f"divided by the number of classes, {C}, in place of examples, {n}"),
        (n / d, f"divided by the number of features, {d}, in place of examples, {n}"),
        (1 / C, f"divided by the number of classes, {C}, too"),
        (n / max(n - 1, 0.5), f"divided by {n - 1} in place of the number of examples, {n}"),
    ]
    line = _named(abs(factor), names)
    return lines + ([line] if line else [])


def _penalty_lines(factor: float, problem: Problem) -> list[str]:
    """Return what a factor of the penalty means."""
    n, l2 = len(problem.rows), problem.l2
    if abs(factor) < _SAME:
        return ["the penalty is missing: add 2 lambda W"]
    lines = ["the penalty has the wrong sign"] if factor < 0 else []
    names = [
        (1.0, ""),
        (0.5, "the factor 2 of the penalty, 2 lambda W, is missing"),
        (1 / n, f"the penalty is divided by the number of examples, {n}"),
        (0.5 / n, f"the penalty is divided by {n} examples, and its factor 2 is missing"),
        (float(n), f"the penalty is multiplied by the number of examples, {n}"),
        (0.5 * n, f"the penalty is multiplied by {n} examples, and its factor 2 is missing"),
        (1 / l2, "the penalty has no lambda"),
        (0.5 / l2, "the penalty has neither lambda nor its factor 2"),
    ]
    line = _named(abs(factor), names, "the penalty is {:.4g} times as large as it should be")
    return lines + ([line] if line else [])


def _named(
    factor: float,
    names: Sequence[tuple[float, str]],
    otherwise: str = "{:.4g} times as large as it should be",
) -> str:
    for value, name in names:  # the first of equal ones
        if abs(factor - value) <= _SAME * value:
            return name
    return otherwise.format(factor)


def _variants(problem: Problem) -> Iterator[tuple[str, Vector]]:
    """Yield what mistakes make of G, O x n; first G itself, with no name."""
    S, Y = problem.scores(), problem.Y
    G = _gradient(problem.loss, S, Y)
    yield "", _one_row(problem, G)
    without_bias = S - problem.b[:, None] if len(problem.b) > 1 else None
    if without_bias is not None:
        yield "b is left out of the scores", _gradient(problem.loss, without_bias, Y)
        for shift in (1, -1):
            off = "G is off by one class: are labels counted from 0?"
            yield off, _gradient(problem.loss, S, np.roll(Y, shift, axis=0))
            yield off, np.roll(G, shift, axis=0)
        for k, which in ((-1, "last"), (0, "first")):
            part = G.copy()
            part[k] = 0
            yield f"the {which} class is left out", part
        own = {
            SOFTMAX_CROSS_ENTROPY.name: _softmax_variants,
            MULTICLASS_SVM.name: _svm_variants,
        }.get(problem.loss.name)
        if own is not None:
            yield from own(S, Y)
    for other in LOSSES.values():
        if other is not problem.loss and (other.takes_soft_targets or _is_one_hot(Y)):
            what = f"the gradient is that of {other.name}, and the loss is {problem.loss.name}"
            yield what, _one_row(problem, _gradient(other, S, Y))
    for k, which, why in (
        (-1, "last", "is it dW = in the loop, in place of dW += ?"),
        (0, "first", "does the function return within the loop?"),
    ):
        part = G.copy()
        part[:, k] = 0
        yield f"the {which} example is left out", _one_row(problem, part)
        yield f"only the {which} {_ONE}: {why}", _one_row(problem, G - part)


def _gradient(loss: Loss, S: Vector, Y: Vector) -> Vector:
    """Return G, C x n, one example at a time."""
    return np.stack([loss.by_example(s, y)[1] for s, y in zip(S.T, Y.T, strict=True)], 1)


def _is_one_hot(Y: Vector) -> bool:
    return bool(((Y == 0) | (Y == 1)).all())


def _one_row(problem: Problem, G: Vector) -> Vector:
    """Return G for the outputs of the classifier: of a single score s, which is (-s/2, +s/2)."""
    return G if len(problem.b) > 1 else (G[1:] - G[:1]) / 2


def _softmax_variants(S: Vector, Y: Vector) -> Iterator[tuple[str, Vector]]:
    E = np.exp(S)
    P, shifted = E / E.sum(axis=0), np.exp(S - S.max(axis=0))
    over_examples = "SoftMax divides by sums over the examples, not over the classes (axis=0)"
    yield over_examples, E / E.sum(axis=1, keepdims=True) - Y
    yield over_examples, shifted / shifted.sum(axis=1, keepdims=True) - Y
    yield (
        "SoftMax divides by the sum over classes and examples; it goes column by column",
        (E / E.sum() - Y),
    )
    yield "exp(S) is not divided by its sum: it is no SoftMax", E - Y
    yield "G has the scores in place of the probabilities", S - Y
    yield "Y is not subtracted from P", P
    yield "P is missing in G = -(Y - P)", -Y
    yield "G has only the entries of the true classes", (P - Y) * (Y > 0)
    yield "G has no entries of the true classes", P * (Y == 0)


def _svm_variants(S: Vector, Y: Vector) -> Iterator[tuple[str, Vector]]:
    others = 1 - Y
    margins = S - (Y * S).sum(axis=0) + 1
    violated = (margins > 0) * others
    count = violated.sum(axis=0)
    yield "the true class has no gradient; it is minus the number of violations", violated
    yield "only the true class has a gradient; each violating class has +1", -count * Y
    yield "the true class has -1, in place of minus the number of violations", violated - Y
    without = (margins > 1) * others
    yield "the margin of 1 is left out", without - without.sum(axis=0) * Y
    scaled = np.maximum(0, margins) * others
    yield "violations count by their size: each counts 1", scaled - scaled.sum(axis=0) * Y
    largest = (margins * others == (margins * others).max(axis=0)) * violated
    yield "only the largest violation counts: all do", largest - largest.sum(axis=0) * Y
