"""`LinearClassifier`: training as scikit-learn's conventions have it."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from backprop_cli.engine import decide, probabilities
from backprop_cli.errors import DataError
from backprop_cli.estimator import parameters
from backprop_cli.estimator.data import (
    as_features,
    known_standardization,
    label_codes,
    names,
    several,
    training_split,
    validation_split,
)
from backprop_cli.fitting import prepare
from backprop_cli.losses import Array
from backprop_cli.solvers.observer import Observer
from backprop_cli.solvers.training import Training
from backprop_cli.sources import Dataset, Source, Split


class _Momentum(NamedTuple):
    """What `partial_fit` goes on with, besides the model."""

    learning_rate: float
    W: Array
    b: Array


def _is_softmax(estimator: LinearClassifier) -> bool:
    """Say whether scores are logarithms of probabilities; else there is no `predict_proba`."""
    return bool(estimator.loss == "softmax_cross_entropy")


def _is_descent(estimator: LinearClassifier) -> bool:
    """Say whether the solver takes mini-batches; else there is no `partial_fit`."""
    return bool(estimator.solver == "sgd")


class LinearClassifier(ClassifierMixin, BaseEstimator):
    """Linear classifier, softmax or multi-class SVM, with scikit-learn's conventions.

    It minimizes ``L + l2 * sum(W ** 2)``, where L is the mean loss, by the same code as
    ``backprop train``: mini-batch gradient descent, or L-BFGS to the optimum. Features may be of
    any real type. They are not copied, so a memory map of ``uint8`` images stays on disk.

    Parameters
    ----------
    loss : {"softmax_cross_entropy", "multiclass_svm"}
        The loss that is minimized.
    l2 : float
        Strength of the penalty on the weights. The bias is not penalized.
    solver : {"sgd", "lbfgs"}
        "sgd" is mini-batch gradient descent. "lbfgs" is full-batch L-BFGS, for softmax.
    tolerance : float
        Of "lbfgs": the relative duality gap to stop at. Below 1e-14, which float64 cannot
        prove, the gap that the gradient lets expect.
    epochs : int or "auto"
        Of "sgd": passes over the examples. "auto": 30, and more for small data.
    batch_size : int
        Of "sgd": examples per step.
    learning_rate : float or "auto"
        Of "sgd": the highest learning rate. "auto" derives it from the data.
    schedule : {"cosine", "constant"} or object
        Of "sgd": how the learning rate changes; or a `StepDecay`, `Cosine` or `Cyclical`.
    momentum : float
        Of "sgd": from 0, below 1.
    nesterov : bool
        Of "sgd": whether momentum is Nesterov's.
    standardize : {"per_feature", "none"}
        Whether each feature is brought to mean 0 and standard deviation 1, without a copy.
        `coef_` takes features as they are.
    label_smoothing : float
        a: the target is 1 - a for the true class, plus a / C for each of C classes.
    class_weight : dict, "balanced" or None
        Factors on the losses of the classes, as in scikit-learn.
    keep : {"best", "last"}
        Of "sgd": the epoch whose weights become the model. Best on the validation set; without
        one, the last.
    select_by : str
        The validation figure that says which epoch is best: "accuracy", "loss", ...
    patience : int or None
        Of "sgd": stop after so many epochs without a better figure on the validation set that
        `fit` was given. None: never.
    warm_start : bool
        Whether `fit` starts from the weights of the fit before.
    initial_std : float
        Of "sgd": standard deviation of the initial weights.
    dtype : {"auto", "float32", "float64"}
        What is computed in. "auto": "float64" for features of that type, else "float32".
    backend : {"auto", "numpy", "compiled"}
        What computes. "compiled" needs the extra ``fast``.
    threads : int or "auto"
        How many threads work. "auto": one per core, and at most OMP_NUM_THREADS.
    random_state : int, RandomState or None
        The seed of initial weights and of the order of the examples.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    coef_, intercept_ : ndarray of shape (n_classes, n_features) and (n_classes,)
        ``X @ coef_.T + intercept_`` is the decision function. One row for two classes.
    n_iter_ : int
        Epochs of "sgd", steps of "lbfgs", calls of `partial_fit`.
    history_ : list of dict
        The figures of every epoch: training loss and cost, validation loss and accuracy.
    cost_ : float or None
        J of the model on the examples it was trained on; None after `partial_fit`.
    gap_ : float or None
        The cost is within this share of itself from the optimum. None where no bound is known:
        ``l2=0``, or after `partial_fit`.
    model_ : LinearModel
        The classifier as the rest of this package has it.
    n_features_in_, feature_names_in_ : int and ndarray
        The number of features, and their names if X had any.

    Notes
    -----
    The defaults are those of a config, except for `l2`, which is 0 there, and for `dtype`.
    `sample_weight` is divided by its mean, so that a weight of 2 is the same as two examples.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from backprop_cli import LinearClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = LinearClassifier(solver="lbfgs", l2=1e-3).fit(X, y)
    >>> classifier.score(X, y) > 0.95
    True
    >>> classifier.gap_ < 1e-6
    True
    """

    cost_: float | None
    gap_: float | None
    _momentum: _Momentum | None

    def __init__(  # noqa: PLR0913 - scikit-learn wants each parameter named here
        self,
        *,
        loss: str = "softmax_cross_entropy",
        l2: float = 1e-4,
        solver: str = "sgd",
        tolerance: float = 1e-6,
        epochs: int | str = "auto",
        batch_size: int = 100,
        learning_rate: float | str = "auto",
        schedule: Any = "cosine",
        momentum: float = 0.9,
        nesterov: bool = False,
        standardize: str = "per_feature",
        label_smoothing: float = 0.0,
        class_weight: Any = None,
        keep: str = "best",
        select_by: str = "accuracy",
        patience: int | None = None,
        warm_start: bool = False,
        initial_std: float = 0.01,
        dtype: str = "auto",
        backend: str = "auto",
        threads: int | str = "auto",
        random_state: Any = 42,
    ) -> None:
        self.loss = loss
        self.l2 = l2
        self.solver = solver
        self.tolerance = tolerance
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.momentum = momentum
        self.nesterov = nesterov
        self.standardize = standardize
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.keep = keep
        self.select_by = select_by
        self.patience = patience
        self.warm_start = warm_start
        self.initial_std = initial_std
        self.dtype = dtype
        self.backend = backend
        self.threads = threads
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
    ) -> LinearClassifier:
        """Train the classifier.

        Parameters
        ----------
        X, y
            Features, n x d, and labels, n: integers or strings.
        sample_weight
            Factors >= 0 on the losses of the examples; None: 1.
        X_val, y_val
            A validation set, which says which epoch is best, and when to stop early.

        Returns
        -------
        LinearClassifier
            Itself.

        Raises
        ------
        DivergedError
            The loss ran away: take a lower learning rate.
        """
        params = self._checked_params()
        X, y = self._validated(X, y, reset=True)
        classes = several(np.unique(y), "y")
        start = self.model_ if self._is_warm(classes, X.shape[1]) else None
        split, weights = self._training_data(X, y, classes, sample_weight)
        dataset = Dataset(split, self._validation(X_val, y_val, classes), None, names(classes))
        seed = parameters.seed_of(self.random_state)
        settings = parameters.settings_of(params, seed, X.dtype, weights)
        solver = parameters.solver_of(params, seed)
        training = prepare(dataset, settings, solver, None, known_standardization(split, settings))
        if start is not None:
            training.start_from(*start.parameters_under(training.standardization))
        observer = Observer()
        training.run(observer)
        found = training.optimality(0, observer)
        self._take(training, classes, [])
        self.cost_, self.gap_ = found.cost, found.relative_gap
        self._momentum = None
        if self.solver == "lbfgs" and self.gap_ is not None and not found.within(self.tolerance):
            warnings.warn(
                f"L-BFGS stopped within {self.gap_:.1e} of the optimum, tolerance is "
                f"{self.tolerance:.1e}",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    @available_if(_is_descent)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> LinearClassifier:
        """Go on training: one pass over some more examples, in mini-batches of `batch_size`.

        The statistics of the features, and a learning rate of "auto", are those of the first call,
        so let it have some hundred examples; after `fit`, the statistics are those of `fit`. The
        learning rate is constant, and momentum goes on from call to call.

        Parameters
        ----------
        X, y
            Features, n x d, and labels, n.
        classes
            All classes that there will be: required in the first call.
        sample_weight
            As for `fit`. The weights are divided by their mean in this call.

        Returns
        -------
        LinearClassifier
            Itself.
        """
        params = self._checked_params()
        first = not hasattr(self, "model_")
        known = self._known_classes(classes, first)
        X, y = self._validated(X, y, reset=first)
        split, weights = self._training_data(X, y, known, sample_weight)
        momentum = None if first else self._momentum
        seed = parameters.seed_of(self.random_state)
        dtype = X.dtype if first else self.model_.weights.dtype
        settings = parameters.settings_of(params, seed, dtype, weights)
        solver = parameters.pass_of(params, seed, momentum and momentum.learning_rate)
        dataset = Dataset(split, None, None, names(known))
        start = None if first else self.model_
        found = start.standardization if start else known_standardization(split, settings)
        training = prepare(dataset, settings, solver, None, found, part=True)
        if start is not None:
            training.start_from(*start.parameters_under(training.standardization))
        state = training.state
        if momentum is not None and momentum.W.shape == state.velocity_W.shape:
            state.velocity_W[...], state.velocity_b[...] = momentum.W, momentum.b
        training.run(Observer())
        self._take(training, known, [] if first else self.history_)
        self.cost_ = self.gap_ = None
        rate = training.solver.rules[0].rate
        self._momentum = _Momentum(rate, state.velocity_W, state.velocity_b)
        return self

    def decision_function(self, X: Any) -> Array:
        """Return a score per example and class, n x C; for two classes, n: that of the second."""
        scores = self._scores(X)
        return np.ascontiguousarray(scores.T) if len(scores) > 2 else scores[1] - scores[0]

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the label with the largest score for each of n examples."""
        scores = self._scores(X)
        return np.asarray(self.classes_[decide(scores)])

    @available_if(_is_softmax)
    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, n x C; not for the SVM, whose scores give none."""
        return np.ascontiguousarray(probabilities(self._scores(X)).T)

    def _scores(self, X: Any) -> Array:
        """Return the scores, C x n."""
        check_is_fitted(self)
        features = as_features(validate_data(self, X, dtype="numeric", reset=False))
        source = Source(features, np.empty(0, np.int64), "X")
        return self.model_.scores(source, np.arange(len(features)))

    def _checked_params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.get_params(deep=False)
        parameters.check(params)
        return params

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        X, y = validate_data(self, X, y, dtype="numeric", reset=reset)
        check_classification_targets(y)
        return as_features(X), y

    def _training_data(
        self, X: NDArray[Any], y: NDArray[Any], classes: NDArray[Any], sample_weight: Any
    ) -> tuple[Split, Any]:
        """Return the examples to train on, and the weights of the classes."""
        weights = class_weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        if self.class_weight is not None:
            class_weights = compute_class_weight(
                self.class_weight, classes=classes, y=y, sample_weight=weights
            ).tolist()
        return training_split(X, label_codes(y, classes, "y"), weights), class_weights

    def _validation(self, X: Any, y: Any, classes: NDArray[Any]) -> Split | None:
        if X is None and y is None and self.patience is not None:
            raise DataError("patience: needs a validation set: fit(..., X_val=X, y_val=y)")
        return validation_split(X, y, classes, self.n_features_in_)

    def _is_warm(self, classes: NDArray[Any], n_features: int) -> bool:
        """Say whether to start from the model that there is; refuse if it does not fit."""
        if not self.warm_start or not hasattr(self, "model_"):
            return False
        if self.model_.n_features != n_features or not np.array_equal(self.classes_, classes):
            raise DataError("warm_start: expected the features and classes of the fit before")
        return True

    def _known_classes(self, classes: Any, first: bool) -> NDArray[Any]:
        """Return the classes of `partial_fit`."""
        if self.class_weight == "balanced":
            raise DataError("class_weight: partial_fit cannot know what is balanced; take a dict")
        if first and classes is None:
            raise DataError("classes: expected all classes in the first call of partial_fit")
        found = self.classes_ if classes is None else several(np.unique(classes), "classes")
        if not first and not np.array_equal(found, self.classes_):
            raise DataError("classes: expected those of the first call")
        return found

    def _take(
        self, training: Training, classes: NDArray[Any], history: list[dict[str, Any]]
    ) -> None:
        """Keep the model that was trained, and its epochs after those of ``history``."""
        self.classes_ = classes
        records = [record.to_mapping() for record in training.history[0]]
        self.history_ = [*history, *records]
        for epoch, record in enumerate(records, len(history) + 1):
            record["epoch"] = epoch
        self.n_iter_ = len(self.history_)
        model = training.model(0)
        # A number added to all scores changes nothing: of such models, the one with mean bias 0.
        self.model_ = dataclasses.replace(model, bias=model.bias - model.bias.mean())
        weights, bias = self.model_.on_raw_features()
        if len(weights) == 2:
            weights, bias = weights[1:] - weights[:1], bias[1:] - bias[:1]
        self.coef_, self.intercept_ = weights, bias
