"""Every engine is the same function: sums and outcomes against the definition, in float64."""

import importlib.util
import itertools

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from backprop_cli.engine import Targets
from backprop_cli.sources import Block, ImageLayout
from tests.make import dataset, descent, split

SOFTMAX, SVM = "softmax_cross_entropy", "multiclass_svm"
N, C, SHAPE = 330, 7, (3, 4, 6)  # images of 3 channels, 4 x 6 pixels
ROWS = 300  # at once: more than the kernels take in one piece
WEIGHTS = np.array([1.0, 0.0, 2.5, 1.0, 0.5, 1.0, 3.0])
SMOOTHING = {SOFTMAX: 0.2, SVM: 0.0}
MODELS = [
    {"loss": SOFTMAX, "label_smoothing": 0.2, "l2": 0.5, "seed": 1},
    {"loss": SOFTMAX, "l2": 0.0, "seed": 2},
    {"loss": SVM, "l2": 2.0, "seed": 3},
]
COMPILED = pytest.param(
    "compiled", "float32",
    marks=pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="needs the extra: fast"),
)  # fmt: skip
ENGINES = [("numpy", "float64"), ("numpy", "float32"), COMPILED]
TOLERANCE = {"float64": 1e-12, "float32": 3e-6}


def images(dtype):
    """Return images n x channels x height x width, in another range for every feature."""
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0, 250, (N, *SHAPE)) * rng.uniform(0.4, 1.0, SHAPE)
    drawn += {"uint8": 0, "int16": -100, "float32": 200}[dtype]  # the last is too much to fold
    return drawn.astype(dtype)


def stored(planes, layout):
    """Return images, or what belongs to their features, ... x channels x height x width, flat."""
    order = np.moveaxis(planes, -3, -1) if layout == "interleaved" else planes
    return np.ascontiguousarray(order).reshape(*planes.shape[:-3], -1)


class Case:
    """An engine, its arguments, and what the definition says of them."""

    def __init__(self, engine, dtype, features="uint8", layout="planes", mirrors=False):
        rng = np.random.default_rng(1)
        self.planes, self.dtype = images(features), dtype
        self.labels = np.concatenate([np.arange(C), rng.integers(0, C, N - C)])
        image = (
            None if layout == "plain" else ImageLayout(*SHAPE, interleaved=layout == "interleaved")
        )
        self.train = np.sort(rng.permutation(N)[:320])
        self.layout = layout
        self.data = dataset(split(stored(self.planes, layout), self.labels, self.train, image))
        self.training = descent(
            self.data, *MODELS, engine=engine, dtype=dtype, class_weights=list(WEIGHTS),
            initial_std=0.3, batch_size=ROWS, horizontal_flips=mirrors,
        )  # fmt: skip
        assert self.training.engine_name == engine
        self.engine = self.training.engine
        self.W, self.b = self.training.state.W, self.training.state.b
        self.W_planes = rng.normal(0, 0.3, (3, C, *SHAPE)).astype(dtype)
        self.W[...] = stored(self.W_planes, layout)
        self.b[...] = rng.normal(0, 0.3, self.b.shape)
        order = rng.permutation(self.train)[:ROWS]
        flags = rng.random(ROWS) < 0.5 if mirrors else None
        self.block = self.data.train.source.block(order, flags)

    def sums(self, block):
        """Return what the engine says, in float64 and with dW in planes."""
        found = self.engine.sums(self.W, self.b, block)
        dW = found.dW.astype(float)
        if self.layout == "interleaved":
            channels, height, width = SHAPE
            dW = np.moveaxis(dW.reshape(3, C, height, width, channels), -1, -3)
        return found.loss, dW.reshape(3, C, -1), found.db.astype(float), found.n

    def expected(self, block: Block):
        """Return the sums by the definition, example by example and model by model."""
        losses, dW, db = np.zeros(3), np.zeros((3, C, *SHAPE)), np.zeros((3, C))
        for x, label in zip(self.standardized(block), self.labels[block.rows], strict=True):
            for m, model in enumerate(MODELS):
                s = np.tensordot(self.W_planes[m].astype(float), x, 3) + self.b[m]
                loss, g = definition(model["loss"], s, label, model.get("label_smoothing", 0.0))
                losses[m] += WEIGHTS[label] * loss
                dW[m] += WEIGHTS[label] * np.multiply.outer(g, x)
                db[m] += WEIGHTS[label] * g
        return losses, dW.reshape(3, C, -1), db, len(block.rows)

    def standardized(self, block):
        """Return examples n x channels x height x width, mirrored first."""
        train = self.planes[self.train].astype(float)
        x = self.planes[block.rows].astype(float)
        if block.mirrored is not None:
            x[block.mirrored] = x[block.mirrored][..., ::-1]
        return (x - train.mean(axis=0)) / train.std(axis=0)

    def assert_close(self, found, expected):
        for ours, true in zip(found, expected, strict=True):
            atol = TOLERANCE[self.dtype] * max(np.abs(true).max(), 1.0)
            np.testing.assert_allclose(ours, true, rtol=0, atol=atol)


def definition(loss, s, label, smoothing):
    """Return the loss of one example and its gradient by the scores."""
    if loss == SOFTMAX:
        y = (1 - smoothing) * np.eye(C)[label] + smoothing / C
        return -(y @ log_softmax(s)), softmax(s) - y
    total, g = 0.0, np.zeros(C)
    for j in range(C):
        if j != label and s[j] - s[label] + 1 > 0:
            total += s[j] - s[label] + 1
            g[j] += 1
            g[label] -= 1
    return total, g


LAYOUTS = [
    ("plain", False), ("planes", False), ("planes", True), ("interleaved", False),
    ("interleaved", True),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "mirrors"), LAYOUTS)
@pytest.mark.parametrize("features", ["uint8", "int16", "float32"])
@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_sums_are_those_of_the_definition(engine, dtype, features, layout, mirrors):
    """Not divided by n, and without a penalty, though every model but one has an l2."""
    case = Case(engine, dtype, features, layout, mirrors)
    case.assert_close(case.sums(case.block), case.expected(case.block))


@pytest.mark.parametrize(("layout", "mirrors"), LAYOUTS)
@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_sums_over_two_blocks_add_up(engine, dtype, layout, mirrors):
    case = Case(engine, dtype, layout=layout, mirrors=mirrors)
    parts = [case.sums(case.block.part(*edges)) for edges in ((0, 137), (137, ROWS))]
    added = [one + other for one, other in zip(*parts, strict=True)]
    case.assert_close(added, case.sums(case.block))


@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_sums_over_nothing_are_zero(engine, dtype):
    """A process's share of a short mini-batch may be empty; an earlier block must not show."""
    case = Case(engine, dtype)
    case.sums(case.block)
    losses, dW, db, n = case.sums(case.block.part(5, 5))
    assert n == 0
    assert not losses.any()
    assert not dW.any()
    assert not db.any()


@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_sums_change_no_argument(engine, dtype):
    case = Case(engine, dtype, mirrors=True)
    arrays = (case.W, case.b, case.block.features, case.block.rows, case.block.mirrored)
    before = [array.copy() for array in arrays]
    case.sums(case.block)
    case.engine.outcomes(case.W, case.b, case.data.train.block(0, 50), case.training.targets)
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("layout", ["plain", "planes", "interleaved"])
@pytest.mark.parametrize("features", ["uint8", "int16", "float32"])
@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_outcomes_are_those_of_the_definition(engine, dtype, features, layout):
    """Losses are without class weights; targets are those that are asked for."""
    case = Case(engine, dtype, features, layout)
    block = case.data.train.block(0, 320)
    x, labels = case.standardized(block), case.labels[block.rows]
    for targets, smoothing in (
        (case.training.targets, [0.2, 0, 0]),
        (Targets.plain(C, np.dtype(dtype)), [0, 0, 0]),
    ):
        found = case.engine.outcomes(case.W, case.b, block, targets)
        for m, (model, a) in enumerate(zip(MODELS, smoothing, strict=True)):
            S = np.tensordot(x, case.W_planes[m].astype(float), ([1, 2, 3], [1, 2, 3])) + case.b[m]
            losses = [definition(model["loss"], s, y, a)[0] for s, y in zip(S, labels, strict=True)]
            atol = TOLERANCE[dtype] * max(np.abs(losses).max(), 1.0)
            np.testing.assert_allclose(found.losses[m], losses, rtol=0, atol=atol)
            np.testing.assert_array_equal(found.decisions[m], S.argmax(axis=1))


@pytest.mark.parametrize("layout", ["plain", "interleaved"])
@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_scores_are_those_of_the_definition(engine, dtype, layout):
    case = Case(engine, dtype, layout=layout)
    block = case.data.train.block(0, 320)
    x, axes = case.standardized(block), ([1, 2, 3], [2, 3, 4])
    expected = np.tensordot(x, case.W_planes.astype(float), axes).transpose(1, 2, 0)
    case.assert_close([case.engine.scores(case.W, case.b, block)], [expected + case.b[:, :, None]])


@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_mirrored_examples_are_not_evaluated(engine, dtype):
    case = Case(engine, dtype, mirrors=True)
    with pytest.raises(ValueError, match="expected examples as they are stored, found mirrored"):
        case.engine.outcomes(case.W, case.b, case.block, case.training.targets)


@pytest.mark.parametrize(("engine", "dtype"), ENGINES)
def test_blocks_of_any_size_after_one_another(engine, dtype):
    """What one block leaves in the engine's memory must not show in the next."""
    case = Case(engine, dtype)
    expected = {}
    for (start, end), _ in itertools.product(((0, 1), (0, 300), (200, 329), (3, 5)), range(2)):
        part = case.block.part(start, end)
        if (start, end) not in expected:
            expected[start, end] = case.expected(part)
        case.assert_close(case.sums(part), expected[start, end])
