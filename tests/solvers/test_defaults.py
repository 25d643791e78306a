"""What is left to the data: the learning rate by its formula, the epochs, and that both suffice."""

import numpy as np
import pytest
import yaml

from backprop_cli.errors import ConfigError, DataError
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.schedules import Cosine
from backprop_cli.solvers.second_moment import SecondMoment
from backprop_cli.sources import Standardization
from tests.make import dataset, descent, split

D = 6


def axes(scale=1.0, d=D):
    """Return the rows +-e_k scale_k sqrt(d): their mean is 0, their covariance diag(scale^2)."""
    x = np.diag(np.sqrt(d) * np.broadcast_to(scale, d))
    return np.concatenate([x, -x])


def rate(x, labels=None, **given):
    given = {"standardize": "none", "batch_size": 4, **given}
    training = descent(dataset(split(x, labels)), learning_rate=None, **given)
    return training.solver.rules[0].learning_rate


@pytest.mark.parametrize("batch_size", [1, 4, 12])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_the_rate_is_one_over_the_curvature(batch_size, l2):
    """1/2 (largest eigenvalue of the mean of x x^T + mean |x|^2 / B) + 2 lambda, x with a 1.

    A batch of all examples has no noise: the second term is missing.
    """
    noise = 0 if batch_size == 2 * D else (D + 1) / batch_size
    expected = 1 / (0.5 * ((1 + 1) + noise) + 2 * l2)
    assert rate(axes(), batch_size=batch_size, l2=l2) == pytest.approx(expected, rel=5e-3)


def test_the_largest_eigenvalue_counts_and_the_sum_of_all():
    scale = np.array([3.0, 1, 1, 1, 1, 0.5])
    expected = 1 / (0.5 * ((9 + 1) + ((scale**2).sum() + 1) / 4))
    assert rate(axes(scale)) == pytest.approx(expected, rel=5e-3)


def test_a_large_mean_makes_the_rate_low():
    expected = 1 / (0.5 * ((1 + 100 * D + 1) + (D + 100 * D + 1) / 4))
    assert rate(axes() + 10) == pytest.approx(expected, rel=5e-3)


def test_class_weights_count():
    """Weights 2 and 4 in equal shares: mean 3, mean of squares 10."""
    labels = np.arange(2 * D) % 2
    expected = 1 / (0.5 * (3 * (1 + 1) + 10 / 3 * (D + 1) / 4))
    found = rate(axes(), labels, class_weights=[2.0, 4.0])
    assert found == pytest.approx(expected, rel=5e-3)


def test_in_one_batch_weights_are_copies():
    """Class 0 weighs 1 and class 1 weighs 3: the rate is that of its rows three times."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((20, 30)) * np.geomspace(1, 9, 30), np.arange(20) % 2
    copies = np.where(labels == 1, 3, 1)
    found = rate(x, labels, class_weights=[0.5, 1.5], batch_size=100)
    expected = rate(x.repeat(copies, axis=0), labels.repeat(copies), batch_size=100)
    assert found == pytest.approx(expected, rel=5e-3)
    assert found != pytest.approx(rate(x, labels, batch_size=100), rel=0.05)


def test_examples_without_weight_leave_a_rate():
    labels = np.arange(2 * D) % 2
    training = descent(
        dataset(split(axes(), labels), n_classes=3), learning_rate=None, class_weights=[0, 0, 1]
    )
    assert 0 < training.solver.rules[0].learning_rate < np.inf


def test_standardized_features_have_the_rate_of_their_standardized_selves():
    x = axes(np.geomspace(1e-3, 1e3, D)) + 5
    assert rate(x, standardize="per_feature") == pytest.approx(rate(axes()), rel=5e-3)


def test_each_model_has_its_own_rate_and_a_given_one_stays():
    training = descent(
        dataset(split(axes())), {"l2": 0.0}, {"l2": 10.0}, {"learning_rate": 0.123},
        learning_rate=None, standardize="none", batch_size=4,
    )  # fmt: skip
    first, second, third = (rule.learning_rate for rule in training.solver.rules)
    assert 1 / second - 1 / first == pytest.approx(20, rel=1e-2)
    assert third == 0.123


def test_a_schedule_cannot_rise_to_the_rate():
    with pytest.raises(ConfigError, match=r"schedule\.minimum: expected at most .* for this data"):
        rate(axes(), schedule=Cosine(100.0))


@pytest.mark.parametrize(
    ("n", "batch_size", "epochs"),
    [(100, 10, 500), (1000, 100, 500), (100, 100, 1000), (20_000, 100, 30), (16_000, 100, 32)],
)
def test_epochs_are_enough_for_5000_steps(n, batch_size, epochs):
    training = descent(
        dataset(split(np.zeros((n, 2)))), epochs=None, batch_size=batch_size, learning_rate=0.1
    )
    assert training.solver.epochs == training.n_epochs == epochs


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "multiclass_svm"])
@pytest.mark.parametrize("standardize", ["none", "per_feature"])
@pytest.mark.parametrize("kind", ["scales", "mean", "copies", "outlier", "tiny", "huge"])
def test_descent_at_that_rate_does_not_diverge(kind, standardize, loss):
    """The cost does not end above where it began, on data sets as badly scaled as they come."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 12)), np.arange(200) % 4
    x += 0.5 * rng.standard_normal((4, 12))[y]
    x = {
        "scales": lambda: x * np.geomspace(1e-3, 1e3, 12),
        "mean": lambda: x + 1000,
        "copies": lambda: np.repeat(x[:, :1], 12, axis=1),
        "outlier": lambda: np.concatenate([x[:-1], 1000 * x[-1:]]),
        "tiny": lambda: 1e-12 * x,
        "huge": lambda: 1e12 * x,
    }[kind]()
    training = descent(
        dataset(split(x, y)), loss=loss, standardize=standardize, dtype="float64", momentum=0.9,
        learning_rate=None, schedule=Cosine(0.0), epochs=20, batch_size=16, initial_std=0.0,
    )  # fmt: skip
    training.run(Observer())
    assert training.diverged == [None]
    at_zero = training.settings.models[0].loss.at_equal_scores(4)
    assert training.history[0][-1].train_cost <= 1.01 * at_zero  # up to the noise of mini-batches


def test_a_run_states_what_it_found_and_gives_the_same_model_again(run, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "data: {format: synthetic, examples: 300, size: 4, classes: 3}\nl2: 0.01\n"
        f"training: {{batch_size: 100}}\noutput: '{tmp_path}/run'\n"
    )
    assert run("train", "--config", tmp_path / "c.yaml")[0] == 0
    found = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["training"]
    assert isinstance(found["epochs"], int)
    assert isinstance(found["learning_rate"], float)
    again = tmp_path / "again"
    assert run("train", "--config", tmp_path / "run" / "config.yaml", "--output", again)[0] == 0
    one, other = ((f / "model.safetensors").read_bytes() for f in (tmp_path / "run", again))
    assert one == other


def test_features_whose_squares_are_infinite_are_refused():
    """As with the standard deviations of a run that was changed."""
    tiny = Standardization(np.zeros(D), np.full(D, 1e-160))
    with pytest.raises(DataError, match=r"some data: standardized features of up to 2.45e\+160"):
        SecondMoment(split(axes()), tiny, 0)
