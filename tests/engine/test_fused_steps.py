"""The steps that the kernels make themselves are those that are made one after the other."""

import dataclasses

import numpy as np
import pytest

from backprop_cli.plan import Batches
from backprop_cli.solvers.schedules import StepDecay
from backprop_cli.sources import ImageLayout
from tests.make import dataset, descent, split

pytest.importorskip("numba", reason="needs the extra: fast")
SOFTMAX, SVM = "softmax_cross_entropy", "multiclass_svm"
STACKS: dict[str, list[dict]] = {
    "plain": [{}],
    "l2": [{"l2": 0.3}],
    "momentum": [{"momentum": 0.9}],
    "nesterov": [{"momentum": 0.9, "nesterov": True, "l2": 0.05}],
    "svm": [{"loss": SVM, "l2": 0.01}],
    "all sorts": [
        {"learning_rate": 0.03},
        {"momentum": 0.9, "l2": 0.1, "label_smoothing": 0.2},
        {"momentum": 0.5, "nesterov": True, "schedule": StepDecay(1, 0.1)},
        {"loss": SVM, "momentum": 0.8, "nesterov": True, "l2": 0.02},
        {"loss": SVM, "learning_rate": 0.0},
    ],
}


def examples(interleaved):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 256, (500, 3 * 5 * 6), np.uint8)
    return dataset(split(features, np.arange(500) % 6, image=ImageLayout(3, 5, 6, interleaved)))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("batch_size", [64, 300])  # of one piece, and of three
@pytest.mark.parametrize("stack", STACKS)
def test_fused_steps_equal_separate_steps(stack, batch_size, interleaved):
    training = descent(
        examples(interleaved), *STACKS[stack], engine="compiled", batch_size=batch_size,
        horizontal_flips=True, class_weights=[1, 0.5, 2, 1, 1, 0], initial_std=0.1,
    )  # fmt: skip
    assert training.steps == training.engine.steps
    rng = np.random.default_rng(1)
    state = training.state
    for velocity in (state.velocity_W, state.velocity_b):  # in the middle of training
        velocity[...] = rng.normal(0, 0.1, velocity.shape)
    other = dataclasses.replace(
        state, **{name: getattr(state, name).copy() for name in vars(state)}
    )
    start = other.W.copy()
    no_limits = np.full(len(STACKS[stack]), np.inf)
    losses = []
    for steps, own in ((training.steps, state), (training.separate_steps.steps, other)):
        found = []
        for epoch in range(2):
            batches = training.plan.epoch(epoch)
            rates = training.solver.rates(epoch, len(batches)).astype(np.float32)
            made, of_steps = steps(own, batches, rates, no_limits)
            assert made == len(batches)
            found.append(of_steps)
        losses.append(np.concatenate(found))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    moved = np.abs(other.W - start).max()
    assert moved > 1e-3
    for name in ("W", "b", "velocity_W", "velocity_b"):
        ours, theirs = getattr(state, name), getattr(other, name)
        size = np.abs(theirs).max(initial=1e-3)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * size)
    for name in ("momentum", "nesterov", "l2"):
        np.testing.assert_array_equal(getattr(state, name), getattr(other, name))


@pytest.mark.parametrize(
    ("starts", "steps"),
    [
        ([0, 64, 100, 164], 3),  # a short one that is not the last
        ([0, 65, 129], 2),  # a long one
        ([0, 64, 192], 2),  # a long one at the end
        ([0, 64, 128], 1),
        ([0, 64, 128], 3),
    ],
)
def test_mini_batches_of_other_sizes_are_refused(starts, steps):
    """And so is another number of rates: the kernels would read past the end."""
    training = descent(examples(False), engine="compiled", batch_size=64)
    block = training.plan.epoch(0).block.part(0, starts[-1])
    before = training.state.W.copy()
    batches, rates = Batches(block, np.array(starts)), np.full((steps, 1), 0.1, np.float32)
    with pytest.raises(ValueError, match=f"expected {steps} mini-batches of 64 examples, found"):
        training.engine.steps(training.state, batches, rates, np.full(1, np.inf))
    np.testing.assert_array_equal(training.state.W, before)


@pytest.mark.parametrize("stop", [0, 3])
def test_both_stop_before_the_same_step(stop):
    """At a loss above the limit: that step's losses are there, and nothing has moved in it."""
    found = []
    for fused in (True, False):
        training = descent(examples(False), {}, {"learning_rate": 0.1}, engine="compiled")
        batches = training.plan.epoch(0)
        rates = training.solver.rates(0, len(batches)).astype(np.float32)
        steps = training.steps if fused else training.separate_steps.steps
        limits = np.full(2, np.inf)
        if stop:
            made, _ = steps(training.state, batches.some(0, stop), rates[:stop], limits)
            assert made == stop
        before = training.state.W.copy()
        limits[1] = 1e-6
        rest = batches.some(stop, len(batches))
        made, losses = steps(training.state, rest, rates[stop:], limits)
        assert made == 0
        assert losses.shape == (1, 2)
        assert losses[0, 1] > 1e-6
        np.testing.assert_array_equal(training.state.W, before)
        found.append(losses)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
