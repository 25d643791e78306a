"""`LinearClassifier`: other libraries' optima, mini-batches by hand, and no copies."""

import inspect
import pickle
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra: sklearn")

from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from backprop_cli import LinearClassifier, StepDecay
from backprop_cli.errors import BackpropError, DivergedError
from backprop_cli.estimator import classifier
from backprop_cli.fitting import prepare

L2 = 0.01


def blobs(n=300, n_classes=3, d=6, seed=0, spread=1.5):
    """Return features of different scales, and labels that overlap a little."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_classes, size=n)
    centres = np.random.default_rng(5).standard_normal((n_classes, d))
    features = centres[labels] + spread * rng.standard_normal((n, d))
    return features * np.logspace(-1, 1, d) + 3, labels


def optimum(**params):
    params = {"solver": "lbfgs", "l2": L2, "tolerance": 1e-13, **params}
    return LinearClassifier(**params)


def reference(n, **params):
    """Return scikit-learn's for J = L + L2 |W|^2 over n examples of weight 1."""
    return LogisticRegression(C=1 / (2 * n * L2), tol=1e-10, max_iter=10_000, **params)


def scaled(X):
    return StandardScaler().fit_transform(X)


def test_lbfgs_finds_scikit_learns_optimum():
    X, y = blobs()
    ours, theirs = optimum().fit(X, y), reference(len(X)).fit(scaled(X), y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(scaled(X)), atol=1e-6)
    np.testing.assert_allclose(ours.coef_ * X.std(axis=0), theirs.coef_, atol=1e-5)


def test_two_classes_have_one_row():
    X, y = blobs(n_classes=2)
    ours = optimum().fit(X, y)
    # Two rows, w and -w, cost 2 l2 |w|^2; theirs is 2 w.
    theirs = LogisticRegression(C=1 / (len(X) * L2), tol=1e-10).fit(scaled(X), y)
    assert ours.coef_.shape == (1, 6)
    assert ours.intercept_.shape == (1,)
    np.testing.assert_allclose(ours.coef_ * X.std(axis=0), theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(
        ours.decision_function(X), (X @ ours.coef_.T + ours.intercept_)[:, 0], rtol=1e-9
    )
    sigmoid = 1 / (1 + np.exp(-ours.decision_function(X)))
    np.testing.assert_allclose(ours.predict_proba(X)[:, 1], sigmoid, rtol=1e-9)


def test_coefficients_take_raw_features():
    X, y = blobs()
    ours = LinearClassifier().fit(X, y)
    scores = X @ ours.coef_.T + ours.intercept_
    np.testing.assert_allclose(ours.decision_function(X), scores, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), scores.argmax(axis=1))


def test_svm_reaches_libsvms_cost():
    X, y = blobs(n_classes=2)
    ours = LinearClassifier(loss="multiclass_svm", l2=L2, epochs=200).fit(X, y)
    theirs = SVC(kernel="linear", C=1 / (len(X) * L2), tol=1e-8).fit(scaled(X), y)
    sign = 2 * y - 1

    def cost(coefficients, scores):
        return np.maximum(0, 1 - sign * scores).mean() + L2 / 2 * (coefficients**2).sum()

    best = cost(theirs.coef_, theirs.decision_function(scaled(X)))
    own = cost(ours.coef_ * X.std(axis=0), ours.decision_function(X))
    assert best <= own < 1.01 * best
    assert own - best <= ours.gap_ * ours.cost_ + 1e-9


def test_the_gap_holds():
    X, y = blobs()
    coarse, fine = LinearClassifier(l2=L2, epochs=3).fit(X, y), optimum().fit(X, y)
    assert fine.gap_ <= 1e-13
    assert fine.cost_ < coarse.cost_ <= fine.cost_ / (1 - coarse.gap_)
    assert LinearClassifier(l2=0, epochs=1).fit(X, y).gap_ is None


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 2: 0.5}])
def test_weights_are_scikit_learns(class_weight):
    X, y = blobs()
    X = scaled(X)
    weights = np.random.default_rng(1).exponential(size=len(X)) * (np.arange(len(X)) % 5 > 0)
    ours = optimum(standardize="none", class_weight=class_weight).fit(X, y, weights)
    relative = weights / weights[weights > 0].mean()
    theirs = reference((weights > 0).sum(), class_weight=class_weight).fit(X, y, relative)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)


def test_weights_count_in_the_statistics():
    X, y = blobs(n=60)
    weights = np.random.default_rng(1).integers(0, 4, len(X))
    weighted = optimum().fit(X, y, weights)
    repeated = optimum().fit(X.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-4, atol=1e-6)
    found, copies = weighted.model_.standardization, repeated.model_.standardization
    np.testing.assert_allclose(found.mean, copies.mean, rtol=1e-12)
    np.testing.assert_allclose(found.std, copies.std, rtol=1e-12)


@pytest.mark.parametrize("one_class", [False, True])
def test_partial_fit_makes_a_step_for_each_mini_batch(one_class):
    """Also where the examples of a call are all of one class."""
    X, y = blobs(n=200)
    halves = [np.flatnonzero(y == k)[:20] for k in (0, 1)] if one_class else [np.arange(40)]
    X, y = X[np.concatenate(halves)], y[np.concatenate(halves)]
    assert (len(set(y[:20])) == 1) == one_class
    rate, rho, l2 = 0.05, 0.5, 0.1
    ours = LinearClassifier(
        learning_rate=rate, momentum=rho, l2=l2, batch_size=20, initial_std=0, standardize="none"
    )
    W, b = np.zeros((3, 6)), np.zeros(3)
    V, c = np.zeros_like(W), np.zeros_like(b)
    for half in (slice(0, 20), slice(20, 40)):
        ours.partial_fit(X[half], y[half], classes=[0, 1, 2])
        S = X[half] @ W.T + b
        P = np.exp(S - S.max(axis=1, keepdims=True))
        G = P / P.sum(axis=1, keepdims=True) - np.eye(3)[y[half]]
        V = rho * V + G.T @ X[half] / 20 + 2 * l2 * W
        c = rho * c + G.mean(axis=0)
        W, b = W - rate * V, b - rate * c
        np.testing.assert_allclose(ours.coef_, W, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.intercept_, b, rtol=1e-9, atol=1e-12)
    assert ours.n_iter_ == 2
    assert [record["epoch"] for record in ours.history_] == [1, 2]
    assert ours.gap_ is None


def test_partial_fit_goes_on_from_fit():
    X, y = blobs()
    ours = LinearClassifier(l2=L2, epochs=2, learning_rate=1e-5).fit(X, y)
    before = ours.history_[-1]["train_cost"]
    ours.set_params(learning_rate=0.05)
    for _ in range(5):
        ours.partial_fit(X, y)
    assert ours.history_[-1]["train_cost"] < before
    assert ours.n_iter_ == 7


def test_partial_fit_refuses_other_classes():
    X, y = blobs()
    with pytest.raises(ValueError, match="first call"):
        LinearClassifier().partial_fit(X, y)
    ours = LinearClassifier().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="those of the first call"):
        ours.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"y: expected the classes 0, 1, 2, found also 3"):
        ours.partial_fit(X, np.where(y == 0, 3, y))
    with pytest.raises(ValueError, match="balanced"):
        LinearClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


def test_early_stopping_on_ones_own_validation_set():
    X, y = blobs(spread=3)
    X_val, y_val = blobs(seed=1, spread=3)
    ours = LinearClassifier(epochs=200, patience=4, select_by="loss")
    ours.fit(X, y, X_val=X_val, y_val=y_val)
    losses = [record["validation_loss"] for record in ours.history_]
    assert ours.n_iter_ == len(losses) == int(np.argmin(losses)) + 1 + 4 < 200
    own = ours.predict_proba(X_val)[np.arange(len(y_val)), y_val]
    assert -np.log(own).mean() == pytest.approx(min(losses), rel=1e-9)


def test_early_stopping_needs_a_validation_set():
    X, y = blobs()
    with pytest.raises(ValueError, match="patience: needs a validation set"):
        LinearClassifier(patience=3).fit(X, y)
    with pytest.raises(ValueError, match="expected both or none"):
        LinearClassifier().fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="X_val: expected 6 features as in X, found 5"):
        LinearClassifier().fit(X, y, X_val=X[:, 1:], y_val=y)
    with pytest.raises(ValueError, match="y_val: expected the classes"):
        LinearClassifier().fit(X, y, X_val=X, y_val=y + 1)


def test_warm_start_goes_on():
    X, y = blobs()
    ours = optimum(warm_start=True, tolerance=1e-10).fit(X, y)
    steps, cold = ours.n_iter_, ours.coef_
    assert ours.fit(X, y).n_iter_ < steps / 2
    np.testing.assert_allclose(ours.coef_, cold, rtol=1e-3, atol=1e-5)
    descent = LinearClassifier(l2=L2, epochs=1, learning_rate=1e-3, warm_start=True)
    costs = [descent.fit(X, y).cost_ for _ in range(4)]
    assert sorted(costs, reverse=True) == costs
    with pytest.raises(ValueError, match="warm_start: expected the features and classes"):
        ours.fit(X[:, 1:], y)


def test_warm_start_is_the_same_function_under_other_statistics():
    X, y = blobs()
    ours = LinearClassifier(epochs=3, warm_start=True).fit(X, y)
    before = ours.predict_proba(X)
    ours.set_params(learning_rate=1e-12, epochs=1).fit(X[:50], y[:50])
    assert abs(ours.model_.standardization.mean - X.mean(axis=0)).max() > 0.1
    np.testing.assert_allclose(ours.predict_proba(X), before, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "solver", "mapped"),
    [(np.uint8, "sgd", False), (np.float32, "lbfgs", False), (np.uint8, "sgd", True)],
)
def test_memory_does_not_grow_with_the_features(dtype, solver, mapped, tmp_path):
    """What else there is, blocks of rows and a sample of them, has a largest size."""

    def peaks(n):
        X = np.random.default_rng(0).integers(0, 256, (n, 200), np.uint8).astype(dtype)
        if mapped:
            np.save(tmp_path / "x.npy", X)
            X = np.load(tmp_path / "x.npy", mmap_mode="r")
        y = np.arange(n) % 2
        ours = LinearClassifier(
            solver=solver, epochs=1, tolerance=0.9, batch_size=1000, backend="numpy"
        )
        tracemalloc.start()
        try:
            ours.fit(X, y)
            _, of_fit = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            ours.predict(X)
            return np.array([of_fit, tracemalloc.get_traced_memory()[1]])
        finally:
            tracemalloc.stop()

    more = 80_000 * 200 * np.dtype(dtype).itemsize
    assert (peaks(92_000) - peaks(12_000) < more / 3).all()  # labels and their order grow


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("mapped", [False, True])
def test_what_is_trained_on_is_the_array_itself(dtype, mapped, tmp_path, monkeypatch):
    X, y = blobs()
    X = X.astype(dtype)
    if mapped:
        np.save(tmp_path / "x.npy", X)
        X = np.load(tmp_path / "x.npy", mmap_mode="r")
    taken = []

    def taking(data, *rest, **more):
        taken.append(data)
        return prepare(data, *rest, **more)

    monkeypatch.setattr(classifier, "prepare", taking)
    LinearClassifier(epochs=1).fit(X, y, X_val=X, y_val=y).partial_fit(X, y)
    assert len(taken) == 2
    for split in (taken[0].train, taken[0].validation, taken[1].train):
        assert split.features.dtype == dtype
        assert np.shares_memory(split.features, X)


def test_the_type_of_the_features_is_that_of_the_arithmetic():
    X, y = blobs()
    for dtype, expected in ((np.float64, "float64"), (np.float32, "float32")):
        ours = LinearClassifier(epochs=1).fit(X.astype(dtype), y)
        assert ours.decision_function(X.astype(dtype)).dtype == expected
    assert LinearClassifier(epochs=1, dtype="float32").fit(X, y).model_.weights.dtype == "float32"


def test_labels_may_be_text():
    X, y = blobs()
    names = np.array(["cat", "dog", "eel"])[y]
    ours, numbered = optimum().fit(X, names), optimum().fit(X, y)
    assert ours.classes_.tolist() == ["cat", "dog", "eel"]
    np.testing.assert_array_equal(ours.predict(X), ours.classes_[numbered.predict(X)])
    assert ours.score(X, names) == numbered.score(X, y)


def test_data_frames_have_named_features():
    pandas = pytest.importorskip("pandas")
    X, y = blobs()
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    labels = pandas.Series(y, dtype="category")
    ours = optimum().fit(frame, labels)
    assert ours.feature_names_in_.tolist() == list("abcdef")
    np.testing.assert_allclose(ours.coef_, optimum().fit(X, y).coef_, rtol=1e-9)
    with pytest.raises(ValueError, match="feature names"):
        ours.predict(frame[list("fedcba")])


def test_in_pipelines_searches_and_calibration():
    X, y = blobs()
    pipeline = make_pipeline(StandardScaler(), LinearClassifier(epochs=20, threads=1))
    grid = {"linearclassifier__l2": [1e-4, 10.0], "linearclassifier__solver": ["sgd", "lbfgs"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_["linearclassifier__l2"] == 1e-4
    svm = CalibratedClassifierCV(LinearClassifier(loss="multiclass_svm", epochs=20), cv=3)
    probabilities = svm.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert not hasattr(LinearClassifier(loss="multiclass_svm"), "predict_proba")
    assert not hasattr(LinearClassifier(solver="lbfgs"), "partial_fit")


def test_it_can_be_pickled():
    X, y = blobs()
    ours = LinearClassifier(epochs=2).partial_fit(X, y, classes=[0, 1, 2])
    again = pickle.loads(pickle.dumps(ours))  # noqa: S301 - the point of the test
    np.testing.assert_array_equal(again.partial_fit(X, y).coef_, ours.partial_fit(X, y).coef_)


def test_the_same_seed_gives_the_same_bits():
    X, y = blobs()
    one, two = (LinearClassifier(epochs=2, random_state=7).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.coef_, two.coef_)
    generators = [np.random.RandomState(7) for _ in range(2)]
    three, four = (LinearClassifier(epochs=2, random_state=g).fit(X, y) for g in generators)
    np.testing.assert_array_equal(three.coef_, four.coef_)
    assert (one.coef_ != three.coef_).any()


def test_data_is_checked():
    X, y = blobs()
    with pytest.raises(ValueError, match="y: expected at least two classes, found one class"):
        LinearClassifier().fit(X, np.zeros_like(y))
    with pytest.raises(ValueError, match="at least one non-zero"):
        LinearClassifier().fit(X, y, np.zeros(len(X)))
    with pytest.raises(ValueError, match="Negative values"):
        LinearClassifier().fit(X, y, -np.ones(len(X)))


def test_divergence_is_an_error():
    X, y = blobs()
    with pytest.raises(DivergedError, match="training diverged"):
        LinearClassifier(learning_rate=1e30, l2=1.0).fit(X, y)
    assert issubclass(DivergedError, BackpropError)


def test_a_tolerance_that_is_not_reached_is_told():
    with pytest.warns(ConvergenceWarning, match="L-BFGS stopped within"):  # float32 is too coarse
        LinearClassifier(solver="lbfgs", l2=1e-9, tolerance=1e-13, dtype="float32").fit(*blobs())


def test_a_tolerance_below_what_can_be_proved_ends_at_the_optimum():
    found = LinearClassifier(solver="lbfgs", l2=L2, tolerance=1e-24).fit(*blobs())
    assert found.gap_ == pytest.approx(1e-14)
    assert found.n_iter_ < 100  # it does not go on until the line search fails


def test_schedules_are_taken():
    X, y = blobs()
    ours = LinearClassifier(epochs=4, learning_rate=0.1, schedule=StepDecay(2, 0.5)).fit(X, y)
    assert [record["learning_rate"] for record in ours.history_] == [0.1, 0.1, 0.05, 0.05]


def test_every_parameter_and_attribute_is_described():
    text = inspect.getdoc(LinearClassifier)
    X, y = blobs()
    fitted = [name for name in vars(LinearClassifier(epochs=1).fit(X, y)) if name[-1] == "_"]
    names = [*LinearClassifier().get_params(), *fitted]
    assert [name for name in names if name not in text] == []
