"""How many threads NumPy's BLAS may use."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def limited(number: int) -> AbstractContextManager[object]:
    """Limit NumPy's BLAS to a number of threads while the context lasts."""
    limits: AbstractContextManager[object] = _controller().limit(limits=number)
    return limits


@functools.cache
def _controller() -> ThreadpoolController:
    """Return what knows the libraries, which it takes half a millisecond to find."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
