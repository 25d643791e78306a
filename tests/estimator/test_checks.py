"""scikit-learn's own checks of an estimator."""

import pytest

pytest.importorskip("sklearn", reason="needs the extra: sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from backprop_cli import LinearClassifier

# scikit-learn compares scores to seven digits, which L-BFGS is as near to only at the smallest gap.
ESTIMATORS = [
    LinearClassifier(learning_rate=0.1, epochs=100),
    LinearClassifier(loss="multiclass_svm", learning_rate=0.02, epochs=100),
    LinearClassifier(solver="lbfgs", l2=0.1, tolerance=1e-24),
    LinearClassifier(),
]


# Where an optimum is nearly flat, that small a gap cannot be reached.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
