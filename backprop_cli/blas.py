"""NumPy's BLAS: how many threads it may use, and where its product of matrices is."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_PRODUCT = "scipy_cblas_sgemm64_"  # as the OpenBLAS in NumPy's wheels has it
_SET_THREADS = "scipy_openblas_set_num_threads64_"
_GET_THREADS = "scipy_openblas_get_num_threads64_"


@contextmanager
def limited(number: int) -> Iterator[None]:
    """Limit NumPy's BLAS to a number of threads while the context lasts."""
    openblas = _openblas()
    with _controller().limit(limits=number) if openblas is None else openblas.limited(number):
        yield


@contextmanager
def called_from_threads() -> Iterator[None]:
    """Keep the BLAS of `product_address` at one thread, whatever `limited` says meanwhile.

    Its callers are threads themselves, and with more threads the last bits of a product differ.
    """
    openblas = _openblas()
    if openblas is None:
        raise RuntimeError("expected the BLAS of NumPy's wheels, found another one")
    with openblas.limited(1, firm=True):
        yield


def product_address() -> int:
    """Return where the product of float32 matrices is, cblas_sgemm with 64-bit sizes.

    0 where NumPy has another BLAS than its wheels have, which may have other types.
    """
    openblas = _openblas()
    return 0 if openblas is None else openblas.product


@dataclass(frozen=True, eq=False)
class _Limit:
    number: int
    firm: bool


class _OpenBlas:
    """The OpenBLAS in NumPy's wheels, which has one number of threads for the whole process.

    Several Python threads may limit it at the same time. A firm limit is above others; of those,
    the latest is valid, and when the last one has ended, the number is what it was.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.product = ctypes.cast(getattr(library, _PRODUCT), ctypes.c_void_p).value or 0
        self._set, self._get = getattr(library, _SET_THREADS), getattr(library, _GET_THREADS)
        self._lock = threading.Lock()
        self._limits: list[_Limit] = []
        self._before = 0

    @contextmanager
    def limited(self, number: int, *, firm: bool = False) -> Iterator[None]:
        """Limit the number of threads while the context lasts."""
        limit = _Limit(number, firm)
        with self._lock:
            if not self._limits:
                self._before = self._get()
            self._limits.append(limit)
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._limits.remove(limit)
                self._apply()

    def _apply(self) -> None:
        ordered = sorted(self._limits, key=lambda limit: limit.firm)  # stable: the latest is last
        self._set(ordered[-1].number if ordered else self._before)


@functools.cache
def _openblas() -> _OpenBlas | None:
    for library in _controller().lib_controllers:
        if all(hasattr(library.dynlib, name) for name in (_PRODUCT, _SET_THREADS, _GET_THREADS)):
            return _OpenBlas(library.dynlib)
    return None


@functools.cache
def _controller() -> ThreadpoolController:
    """Return what knows the libraries, which it takes half a millisecond to find."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
