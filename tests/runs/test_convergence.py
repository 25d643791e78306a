"""What a finished training says of itself, and when it says nothing."""

import json

import numpy as np
import pytest

from backprop_cli.runs.convergence import Ending, edge_remarks, optimality_text
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import EpochRecord
from backprop_cli.solvers.optimality import Optimality
from backprop_cli.solvers.selection import Kept
from tests.make import dataset, descent, split

LOG_2 = 0.6931471805599453


def remarks(costs, gap, loss=None, l2=0.01, kept=None, **common):
    """Return the remarks on a training of two classes with such costs, and such a gap.

    The weights of its last epoch are kept, or of another one.
    """
    training = descent(dataset(split([[0.0], [1.0]])), l2=l2, **common)
    training.history[0] = [
        EpochRecord(k + 1, 0.1, 0.1, cost if loss is None else loss, cost, 0.5, None, None)
        for k, cost in enumerate(costs)
    ]
    state, epoch = training.state, len(costs) if kept is None else kept
    training.selections[0].kept = Kept(epoch, state.W[0], state.b[0])
    return Ending.of(training, 0, Optimality(costs[-1], gap, 0.1)).remarks


def test_nothing_is_said_of_a_training_that_is_near_the_optimum():
    assert remarks([0.5, 0.4002, 0.4], gap=0.001) == ()


def test_a_fall_is_no_sign_beside_a_small_gap():
    """Averages over an epoch's mini-batches are those of earlier, worse weights."""
    assert remarks([0.8, 0.5], gap=0.008) == ()
    (said,) = remarks([0.8, 0.5], gap=0.02)
    assert said.startswith("not converged: the cost still falls 4 % per epoch; ")


def test_a_large_gap_is_told():
    (said,) = remarks([0.5, 0.4001, 0.4], gap=0.1)
    assert said.startswith("not converged: the cost may be 33 % above its optimum; ")
    assert said.endswith("training.solver: lbfgs")


def test_an_early_epoch_that_validation_chose_is_named():
    (said,) = remarks([0.5, 0.4001, 0.4], gap=0.1, kept=1)
    assert said.startswith("not at the optimum: epoch 1 of 3 was the best on validation, where the")
    assert "33 % above its optimum" in said


def test_a_cost_that_still_falls_is_told():
    (said,) = remarks([0.5, 0.45, 0.36], gap=0.1)
    assert said.startswith("not converged: the cost still falls 20 % per epoch; ")


def test_without_a_bound_only_the_fall_tells():
    assert remarks([0.5, 0.4001, 0.4], gap=None) == ()
    (said,) = remarks([0.5, 0.4], gap=None)
    assert "still falls 20 % per epoch" in said


def test_a_loss_above_that_of_equal_scores_is_told():
    (said,) = remarks([5.0, 1.0], gap=0.5, loss=LOG_2 + 0.01)
    assert said.startswith("the training loss, 0.7031, is above that of equal scores, 0.6931: ")
    assert remarks([0.7, 0.7], gap=0.0, loss=LOG_2 - 0.01) == ()
    assert said.endswith(": try a lower training.learning_rate")
    (said,) = remarks([5.0, 1.0], gap=0.5, loss=1.0, standardize="none")
    assert "standardize the features" in said
    assert "model.initial_std" in said


SEPARATED = "the classes of the training examples are separated without error, so with l2 0 the"


@pytest.mark.parametrize(
    ("cost", "settings", "said"),
    [
        (0.3465, {}, True),  # two examples: n J = 0.693 is below log 2
        (0.3466, {}, False),
        (0.3465, {"l2": 0.01}, False),
        (0.3465, {"label_smoothing": 0.1}, False),
        (0.3465, {"class_weights": [1.5, 0.5]}, False),
        (0.1732, {"class_weights": [1.5, 0.5]}, True),
    ],
)
def test_without_l2_separated_classes_are_told_to_have_no_optimum(cost, settings, said):
    found = remarks([0.5, cost], gap=None, **({"l2": 0.0} | settings))
    assert (len(found) == 1 and found[0].startswith(SEPARATED)) == said


@pytest.mark.parametrize(
    ("gap", "text"),
    [
        (4e-8, "cost 0.4, within 1.0e-07 of the optimum"),
        (0.1, "cost 0.4, within 33 % of the optimum"),
        (None, "cost 0.4, gradient norm 0.1"),
    ],
)
def test_the_distance_in_words(gap, text):
    found = Optimality(0.4, gap, 0.1)
    train = {"cost": 0.4, "gap": found.gap, "gradient_norm": 0.1}
    assert optimality_text(train) == text


GRID: dict[str, list] = {"l2": [0.1, 0.001, 0.01], "training.seed": [1, 2], "loss": ["a", "b"]}


@pytest.mark.parametrize(
    ("l2", "said"),
    [
        (0.01, []),
        (0.001, ["l2: the best value, 0.001, is the smallest tried: try smaller ones"]),
        (0.1, ["l2: the best value, 0.1, is the largest tried: try larger ones"]),
    ],
)
def test_a_winner_at_the_edge_of_its_grid_is_told_on_which_side(l2, said):
    assert edge_remarks(GRID, {"l2": l2, "training.seed": 1, "loss": "a"}) == said


def test_nothing_is_below_zero_and_one_value_has_no_edge():
    assert edge_remarks({"l2": [0, 1]}, {"l2": 0}) == []
    assert edge_remarks({"l2": [1]}, {"l2": 1}) == []


CONFIG = """\
data: {format: synthetic, examples: 400, size: 4, classes: 3, validation: 100, test: 100}
l2: 0.1
"""


@pytest.fixture
def command(run, tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)

    def call(name, *args):
        return run(name, "--config", tmp_path / "c.yaml", "--output", tmp_path / name, *args)

    return call


def test_train_by_lbfgs_says_how_near_it_is_and_no_more(command, tmp_path):
    status, out, _ = command("train", "--set", "training.solver=lbfgs")
    assert status == 0
    (line,) = [line for line in out.splitlines() if line.startswith("training ")]
    summary = json.loads((tmp_path / "train" / "summary.json").read_text())
    assert line.split(maxsplit=1)[1] == optimality_text(summary["train"])
    assert 0 <= summary["train"]["relative_gap"] <= FullBatchLbfgs(1e-6, "loss").tolerance
    assert summary["remarks"] == []
    assert "note" not in out


def test_train_for_too_few_epochs_says_so(command):
    sets = ("--set", "training.epochs=1", "--set", "training.learning_rate=1e-6")
    status, out, _ = command("train", *sets)
    assert status == 0
    (note,) = [line for line in out.splitlines() if line.startswith("note")]
    assert "not converged" in note or "above that of equal scores" in note


def test_sweep_says_that_its_winner_is_at_the_edge(command):
    """One rate moves nothing, and one trains: the best is the largest."""
    status, out, _ = command(
        "sweep",
        "--grid",
        "training.learning_rate=1e-9,0.02",
        "--set",
        "training.epochs=20",
        "--json",
    )
    assert status == 0
    said = json.loads(out)["winner"]["remarks"]
    assert "training.learning_rate: the best value, 0.02, is the largest tried: " in said[-1]


def test_sweep_over_l2_by_lbfgs_is_certified(command):
    status, out, _ = command(
        "sweep", "--grid", "l2=1e-4,1e-2,1", "--set", "training.solver=lbfgs", "--json"
    )
    assert status == 0
    winner = json.loads(out)["winner"]
    assert 0 <= winner["train"]["relative_gap"] <= 1e-5


@pytest.mark.parametrize("differing", [0, 1])
def test_features_that_are_all_the_same_are_told(differing):
    features = np.ones((50, 3))
    features[-1, -1] += differing
    training = descent(dataset(split(features)))
    training.selections[0].kept = Kept(0, training.state.W[0], training.state.b[0])
    said = Ending.of(training, 0, Optimality(0.5, 0.0, 0.0)).remarks
    assert len(said) == 1 - differing
    assert all(line.startswith("the features of all training examples") for line in said)
