"""The check of the engine that a config trains with, and of the reference behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from backprop_cli.gradcheck.compare import Checked, compare, reference
from backprop_cli.gradcheck.comparison import Comparison
from backprop_cli.solvers.descent import Descent


def compare_engines(
    descent: Descent, samples: int | None, seed: int, examples: int | None = None
) -> Iterator[Checked | Comparison]:
    """Compare the engine of a training, then NumPy's in float64 at the same weights.

    The parameters are those of `compare`. Each engine's `Checked` comes before its comparisons.
    """
    other = reference(descent)
    if other is not None:
        other.state.W[...], other.state.b[...] = descent.state.W, descent.state.b
    for part in filter(None, (descent, other)):
        yield from compare(part, samples, seed, examples)


@dataclass(frozen=True)
class EngineCheck:
    """An engine's gradient against other derivations.

    Attributes
    ----------
    engine
        The engine that trains, and its number type.
    rows
        A comparison per engine, quantity and derivation.
    idle
        Engines with which nothing could be compared: take another ``training.seed``.
    """

    engine: str
    rows: tuple[Comparison, ...]
    idle: tuple[str, ...]

    @classmethod
    def of(cls, found: Iterable[Checked | Comparison]) -> Self:
        """Return what `compare_engines` has found."""
        found = list(found)
        engines = [one.engine for one in found if isinstance(one, Checked)]
        rows = tuple(one for one in found if isinstance(one, Comparison))
        compared = {row.engine for row in rows if row.checked}
        return cls(engines[0], rows, tuple(name for name in engines if name not in compared))

    @property
    def agrees(self) -> bool:
        """Whether every comparison agrees, and each engine was compared."""
        return not self.idle and not self.wrong

    @property
    def wrong(self) -> list[Comparison]:
        """The comparisons that do not agree."""
        return [row for row in self.rows if not row.agrees]

    def to_mapping(self) -> dict[str, Any]:
        """Return the comparisons as plain Python objects."""
        return {
            "agrees": self.agrees,
            "engine": self.engine,
            "rows": [row.to_mapping() for row in self.rows],
        }
