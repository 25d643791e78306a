"""NumPy's BLAS: how many threads it may use, and where its product of matrices is."""

from __future__ import annotations

import ctypes
import functools
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_PRODUCT = "scipy_cblas_sgemm64_"  # as the OpenBLAS in NumPy's wheels has it


def limited(number: int) -> AbstractContextManager[object]:
    """Limit NumPy's BLAS to a number of threads while the context lasts."""
    limits: AbstractContextManager[object] = _controller().limit(limits=number)
    return limits


@functools.cache
def product_address() -> int:
    """Return where the product of float32 matrices is, cblas_sgemm with 64-bit sizes.

    0 where NumPy has another BLAS than its wheels have, which may have other types.
    """
    for library in _controller().lib_controllers:
        found = getattr(library.dynlib, _PRODUCT, None)
        if found is not None:
            return ctypes.cast(found, ctypes.c_void_p).value or 0
    return 0


@functools.cache
def _controller() -> ThreadpoolController:
    """Return what knows the libraries, which it takes half a millisecond to find."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
