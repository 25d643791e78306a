"""Compiled kernels: gather, scores, losses, gradients and update of a mini-batch in one go.

They are the same function as the NumPy engine, in float32, at several times the speed where classes
are few. Read `engine` and `shapes` first, then `minibatch`, `descent` and `products`; then `tile`,
and `sgemm`, which replaces it for many rows of W where vectors are shorter than 512 bits. This
package needs numba, and is imported only where it is used.

Every function is compiled into those that call it (``forceinline``). Otherwise the process that
compiles takes a function's machine code from whichever caller came first, and a process that loads
the same kernel from the disk takes the kernel's own copy, which may round differently.
"""
