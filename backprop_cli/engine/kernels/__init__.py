"""Compiled kernels: gather, scores, losses, gradients and update of a mini-batch in one go.

They are the same function as the NumPy engine, in float32, at several times the speed where classes
are few. Read `engine` first, then `minibatch`, `descent`, `products` and `tile`. This package needs
numba, and is imported only where it is used.
"""
