"""Whoever waits for a file is heard meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

_WAIT = 0.1  # seconds between two looks at the outside


def now_and_then(waiting: Callable[[], None] | None) -> Callable[[], None]:
    """Return what may be called often, and calls ``waiting`` ten times a second at most."""
    heard = time.monotonic()

    def listen() -> None:
        nonlocal heard
        if waiting is not None and time.monotonic() - heard > _WAIT:
            waiting()
            heard = time.monotonic()

    return listen
