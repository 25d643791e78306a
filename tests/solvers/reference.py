"""The cost of a linear softmax classifier by its definition, and its optimum by scipy."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax


class Cost:
    """J = 1/n sum_i v_i l_i + lambda |W|^2 of [W | b], O x (d + 1), in float64.

    Parameters
    ----------
    X, y
        Examples, n x d, as the scores take them, and their labels.
    n_classes, l2, smoothing
        C, lambda, and a in the targets (1 - a) e_y + a / C.
    v
        A weight per example.
    single
        Whether one score s stands for two classes, with p_1 = 1 / (1 + exp(-s)).
    """

    def __init__(self, X, y, n_classes, l2, *, smoothing=0.0, v=None, single=False):
        self.X1 = np.column_stack([X, np.ones(len(X))]).astype(float)
        self.Y = (1 - smoothing) * np.eye(n_classes)[y] + smoothing / n_classes
        self.v = np.ones(len(X)) if v is None else np.asarray(v, float)
        self.A = np.array([[0.0], [1.0]]) if single else np.eye(n_classes)
        self.penalty = np.full((self.A.shape[1], self.X1.shape[1]), float(l2))
        self.penalty[:, -1] = 0

    def parts(self, theta):
        """Return J, dJ/dtheta and the probabilities, n x C."""
        theta = np.reshape(theta, self.penalty.shape)
        log_p = log_softmax(self.X1 @ theta.T @ self.A.T, axis=1)
        n = len(self.v)
        cost = -self.v @ (self.Y * log_p).sum(axis=1) / n + (self.penalty * theta**2).sum()
        P = np.exp(log_p)
        slope = (self.v[:, None] * (P - self.Y)) @ self.A / n
        return cost, slope.T @ self.X1 + 2 * self.penalty * theta, P

    def __call__(self, theta):
        return self.parts(theta)[0]

    def gradient(self, theta):
        return self.parts(theta)[1]

    def hessian(self, theta):
        """Return d2J/dtheta2, as a matrix of the entries of theta row by row."""
        P = self.parts(theta)[2]
        by_scores = np.einsum("ik,kl->ikl", P, np.eye(P.shape[1])) - P[:, :, None] * P[:, None]
        by_outputs = np.einsum("i,ko,ikl,lp->iop", self.v, self.A, by_scores, self.A)
        size = self.penalty.size
        full = np.einsum("iop,ij,ik->ojpk", by_outputs, self.X1, self.X1, optimize=True)
        return full.reshape(size, size) / len(self.v) + 2 * np.diag(self.penalty.ravel())

    def optimum(self):
        """Return the theta with the smallest cost: scipy's, then Newton's steps."""
        found = minimize(
            lambda t: self(t), np.zeros(self.penalty.size), jac=lambda t: self.gradient(t).ravel(),
            method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-16, "gtol": 1e-10},
        ).x  # fmt: skip
        for _ in range(20):
            # The sum of all biases has no curvature: the least-squares solution leaves it alone.
            step = np.linalg.lstsq(self.hessian(found), self.gradient(found).ravel(), rcond=1e-14)[
                0
            ]
            if self(found - step) > self(found):
                break
            found = found - step
        return found.reshape(self.penalty.shape)
