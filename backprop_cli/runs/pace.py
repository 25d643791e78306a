"""When to write: often enough to lose little, seldom enough to cost little."""

from __future__ import annotations

import time

_SHARE = 50  # of the time goes to training for each part that goes to writing


class Pace:
    """Says when a write is due: 50 times as long after the last one as that took.

    So writing takes less than 2 % of the time, whatever the disk and the model.
    """

    def __init__(self) -> None:
        self._due, self._start = 0.0, 0.0

    def due(self) -> bool:
        """Say whether it is time; the writing is taken to begin now."""
        self._start = time.monotonic()
        return self._start >= self._due

    def written(self) -> None:
        """Take note that the writing has ended."""
        now = time.monotonic()
        self._due = now + _SHARE * (now - self._start)
