"""Training to the optimum: the cost that is reached is scipy's, whatever the model and the data."""

import numpy as np
import pytest

from backprop_cli.communicator import Serial
from backprop_cli.errors import ConfigError
from backprop_cli.fitting import prepare
from backprop_cli.solvers.lbfgs import Lbfgs
from backprop_cli.solvers.methods import FullBatchLbfgs
from backprop_cli.solvers.observer import Observer
from tests.make import dataset, job, split, to_optimum
from tests.solvers.reference import Cost
from tests.solvers.test_communicator import together

TOLERANCE = {"float32": 1e-6, "float64": 1e-9}


def blobs(n=90, d=5, n_classes=3, seed=0, mean=0.0):
    """Return examples that overlap, in features of very different scale."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    x = rng.standard_normal((n_classes, d))[labels] + rng.standard_normal((n, d))
    return x * np.geomspace(0.3, 3, d) + mean, labels


def theta(training, m=0):
    kept = training.kept(m)
    return np.column_stack([kept.W, kept.b]).astype(float)


def reference(features, labels, training, m=0, class_weights=None, example_weights=None):
    """Return the cost of model m as its definition has it, standardized by hand."""
    settings, model = training.settings, training.settings.models[m]
    x = np.asarray(features, float)
    if settings.standardize == "per_feature":
        std = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(std > 1e-12, std, 1)
    v = np.ones(len(x)) if class_weights is None else np.asarray(class_weights)[labels]
    if example_weights is not None:
        v = v * example_weights
    return Cost(
        x, labels, training.dataset.n_classes, model.l2, smoothing=model.label_smoothing, v=v,
        single=settings.single_output,
    )  # fmt: skip


def check(training, cost, m=0, tolerance=None):
    """The kept model's cost is the optimum's within the tolerance, and what is said of it holds."""
    reached, best = cost(theta(training, m)), cost(cost.optimum())
    tolerance = tolerance or TOLERANCE[training.settings.dtype]
    assert reached - best <= tolerance * best
    found = training.optimality(m, Observer())
    assert found.cost == pytest.approx(reached, rel=1e-9)
    assert found.gap >= reached - best - 1e-12 * best
    assert found.relative_gap <= tolerance
    assert training.history[m][-1].train_cost == pytest.approx(reached, rel=10 * tolerance)


CASES: dict[str, dict] = {
    "softmax": {"l2": 0.01},
    "much l2": {"l2": 10.0},
    "little l2": {"l2": 1e-5},
    "smoothed": {"l2": 0.001, "label_smoothing": 0.1},
    "class weights": {"l2": 0.01, "class_weights": [1.0, 5.0, 0.2]},
    "a class without weight": {"l2": 0.01, "class_weights": [1.0, 0.0, 2.0]},
    "not standardized": {"l2": 0.01, "standardize": "none"},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_the_cost_is_that_of_scipys_optimum(name, dtype):
    x, y = blobs()
    x = x.astype("f4")  # which standardizing in float32 takes as it is
    case: dict = {**CASES[name], "dtype": dtype}
    training = to_optimum(dataset(split(x, y)), tolerance=TOLERANCE[dtype], **case)
    check(training, reference(x, y, training, class_weights=case.get("class_weights")))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", [None, [1.0, 3.0]])
def test_one_score_for_two_classes(smoothing, class_weights):
    x, y = blobs(n_classes=2)
    training = to_optimum(
        dataset(split(x, y)), l2=0.01, single_output=True, dtype="float64", tolerance=1e-9,
        label_smoothing=smoothing, class_weights=class_weights,
    )  # fmt: skip
    assert training.kept(0).W.shape == (1, 5)
    check(training, reference(x, y, training, class_weights=class_weights))


def test_a_weight_per_example():
    x, y = blobs()
    weights = np.random.default_rng(1).integers(0, 4, len(x)).astype(float)
    data = dataset(split(x, y))
    object.__setattr__(data.train.source, "example_weights", weights)
    training = to_optimum(data, l2=0.01, dtype="float64", tolerance=1e-9)
    check(training, reference(x, y, training, example_weights=weights))


@pytest.mark.parametrize("kind", ["u1", "f2", "f4"])
def test_features_of_every_type(kind):
    x, y = blobs(mean=10.0)
    x = np.clip(20 * x if kind == "u1" else x, 0, 255).astype(kind)
    training = to_optimum(dataset(split(x, y)), l2=0.01, dtype="float64", tolerance=1e-9)
    check(training, reference(x, y, training))


def test_features_with_a_large_mean_that_are_not_standardized():
    x, y = blobs(mean=300.0)
    training = to_optimum(
        dataset(split(x, y)), l2=0.01, dtype="float64", standardize="none", tolerance=1e-9
    )
    check(training, reference(x, y, training))


@pytest.mark.parametrize(("n", "d"), [(60, 1), (12, 40), (3, 2)])
def test_one_feature_and_more_features_than_examples(n, d):
    x, y = blobs(n=n, d=d)
    training = to_optimum(dataset(split(x, y)), l2=0.1, dtype="float64", tolerance=1e-9)
    check(training, reference(x, y, training))


def test_constant_features_have_no_weight():
    x, y = blobs()
    x[:, [1, 3]] = 7.0
    training = to_optimum(dataset(split(x, y)), l2=0.01, dtype="float64", tolerance=1e-9)
    check(training, reference(x, y, training))
    np.testing.assert_allclose(training.kept(0).W[:, [1, 3]], 0, atol=1e-6)


def test_features_that_are_all_constant_leave_the_shares_of_the_classes():
    y = np.array([0, 0, 0, 1, 1, 2])
    training = to_optimum(dataset(split(np.ones((6, 2)), y)), l2=0.01, dtype="float64")
    p = np.exp(training.kept(0).b) / np.exp(training.kept(0).b).sum()
    np.testing.assert_allclose(p, [1 / 2, 1 / 3, 1 / 6], rtol=1e-5)
    assert training.optimality(0, Observer()).relative_gap < 1e-8


def test_a_class_without_examples():
    """Its probability goes to 0: the optimum is that of the other classes, which is approached."""
    x, y = blobs()
    training = to_optimum(dataset(split(x, y), n_classes=4), l2=0.01, dtype="float64")
    cost = reference(x, y, training)
    others = Cost(cost.X1[:, :-1], y, 3, 0.01)
    best, reached = others(others.optimum()), cost(theta(training))
    assert 0 <= reached - best <= 1e-7 * best
    found = training.optimality(0, Observer())
    assert reached - best - 1e-13 <= found.gap <= 1e-7 * best


def test_a_path_of_l2_and_smoothings_is_the_models_alone():
    x, y = blobs()
    models = [{"l2": l2, "label_smoothing": a} for a in (0.0, 0.2) for l2 in (1e-4, 1.0, 1e-2)]
    together_ = to_optimum(dataset(split(x, y)), *models, dtype="float64", tolerance=1e-9)
    for m, model in enumerate(models):
        check(together_, reference(x, y, together_, m), m)
        alone = to_optimum(dataset(split(x, y)), model, dtype="float64", tolerance=1e-9)
        found, expected = theta(together_, m), theta(alone)
        found[:, -1] -= found[:, -1].mean()
        expected[:, -1] -= expected[:, -1].mean()
        np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_without_a_certificate_a_prediction_ends_training():
    """The costs of a path are scipy's within the tolerance, and no bound is claimed."""
    x, labels = blobs()
    settings, _ = job(*({"l2": l2} for l2 in np.geomspace(10, 1e-3, 9)))
    data = dataset(split(x, labels))
    training = prepare(data, settings, FullBatchLbfgs(1e-3, "accuracy", certified=False))
    training.run(Observer())
    for m in range(len(settings.models)):
        cost = reference(x, labels, training, m)
        best = cost(cost.optimum())
        assert cost(theta(training, m)) - best <= 1e-3 * best
        assert training.certificate(m).gap is None


def test_the_memory_that_a_path_hands_on_is_that_of_the_next_cost(monkeypatch):
    handed_on, remember = [], Lbfgs.remember

    def note(search, steps, changes):
        handed_on.append((search.point.theta, steps[-1], changes[-1]))
        remember(search, steps, changes)

    monkeypatch.setattr(Lbfgs, "remember", note)
    x, y = blobs()
    training = to_optimum(dataset(split(x, y)), {"l2": 1.0}, {"l2": 0.01}, dtype="float64")
    cost = reference(x, y, training, 1)
    [(end, step, change)] = handed_on
    expected = cost.gradient(end) - cost.gradient(end - step)
    np.testing.assert_allclose(change, expected, atol=1e-12)


@pytest.mark.parametrize("single", [False, True])
def test_without_l2_separable_data_ends_by_the_gradient(single):
    """There is no optimum: the cost falls towards 0."""
    x = np.linspace(-1, 1, 40)[:, None]
    y = (x[:, 0] > 0).astype(int)
    training = to_optimum(
        dataset(split(x, y)), dtype="float64", single_output=single, tolerance=1e-4
    )
    cost = reference(x, y, training)
    start = cost.gradient(np.zeros_like(theta(training)))
    found = training.optimality(0, Observer())
    assert found.gap is None
    assert found.gradient_norm <= 1e-4 * np.linalg.norm(start)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(cost.gradient(theta(training))))


def test_without_l2_data_that_overlaps_has_an_optimum():
    x, y = blobs()
    training = to_optimum(dataset(split(x, y)), dtype="float64", tolerance=1e-8)
    cost = reference(x, y, training)
    best = cost(cost.optimum())
    assert cost(theta(training)) - best <= 1e-7 * best


def test_kernels_and_numpy_agree():
    pytest.importorskip("numba", reason="needs the extra: fast")
    x, y = blobs(n=400)
    x = x.astype("f4")
    costs = []
    for engine in ("numpy", "compiled"):
        training = to_optimum(dataset(split(x, y)), l2=0.01, engine=engine, tolerance=1e-6)
        assert training.engine_name == engine or training.batch.dtype == "float64"
        cost = reference(x, y, training)
        check(training, cost)
        costs.append(cost(theta(training)))
    assert costs[0] == pytest.approx(costs[1], rel=1e-6)


def test_a_loss_with_kinks_is_refused():
    x, y = blobs()
    with pytest.raises(ConfigError, match="lbfgs needs a smooth loss, found multiclass_svm; take"):
        to_optimum(dataset(split(x, y)), loss="multiclass_svm", l2=0.1)


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_reach_the_optimum_of_one(size):
    x, y = blobs(n=100)
    models = [{"l2": 0.01}, {"l2": 1.0}, {"l2": 0.1, "label_smoothing": 0.1}]

    def run(communicator):
        return to_optimum(
            dataset(split(x, y)), *models, dtype="float64", tolerance=1e-9,
            communicator=communicator, class_weights="balanced",
        )  # fmt: skip

    alone, ranks = run(Serial()), together(size, run)
    for m in range(len(models)):
        best = alone.optimality(m, Observer()).cost
        for one in ranks:
            found = one.optimality(m, Observer())
            assert found.cost == pytest.approx(best, rel=2e-9)
            assert found.relative_gap <= 1e-9
            np.testing.assert_array_equal(theta(one, m), theta(ranks[0], m))


def test_the_history_has_a_record_per_step_and_the_cost_falls():
    x, y = blobs()
    validation = split(*blobs(seed=3))
    training = to_optimum(dataset(split(x, y), validation), l2=0.001, dtype="float64")
    records = training.history[0]
    assert [record.epoch for record in records] == list(range(1, len(records) + 1))
    assert (np.diff([record.train_cost for record in records]) <= 1e-12).all()
    assert training.kept(0).epoch == len(records)
    kept = training.kept(0)
    for record in records:
        penalty = record.train_cost - record.train_loss
        assert penalty >= 0
    assert penalty == pytest.approx(0.001 * (kept.W**2).sum(), rel=1e-9)
    X = (validation.features - x.mean(axis=0)) / x.std(axis=0)
    plain = Cost(X, validation.own_labels(), 3, 0.0)
    assert records[-1].validation_loss == pytest.approx(plain(theta(training)), rel=1e-9)
