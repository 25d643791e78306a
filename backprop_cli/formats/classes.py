"""The names of the classes."""

from __future__ import annotations

from collections.abc import Sequence


def configured_names(classes: int | Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the class names of a config, which may give names or only their count."""
    if classes is None:
        return None
    if isinstance(classes, int):
        return numbered(classes)
    return tuple(classes)


def numbered(n_classes: int) -> tuple[str, ...]:
    """Return "0", "1", ... as names."""
    return tuple(str(k) for k in range(n_classes))
