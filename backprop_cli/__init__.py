"""Train, check and explain linear classifiers by vectorized mini-batch gradient descent."""

__version__ = "0.1.0"
