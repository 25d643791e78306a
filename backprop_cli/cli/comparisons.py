"""The table of `gradcheck`, as wide as the terminal permits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backprop_cli.cli.messages import columns, wrapped

if TYPE_CHECKING:
    from backprop_cli.gradcheck import Checked, Comparison

_WIDE = 111  # columns of a row in one line
_NAME = 20  # of what is compared with
TITLES = {
    "L": "The data term L and its gradient",
    "J": "The cost J = L + lambda sum W_ij^2 and its gradient",
    "step": "One step of descent, at a rate that moves W by about its own size",
}


@dataclass(frozen=True)
class Table:
    """Writes comparisons: one line each, or two in a narrow terminal.

    Attributes
    ----------
    wide
        Whether a row fits in one line.
    own
        The title of the column of numbers that are checked.
    """

    wide: bool
    own: str = "engine"

    @staticmethod
    def fitting(own: str = "engine") -> Table:
        """Return a table for this terminal."""
        return Table(columns() >= _WIDE, own)

    def header(self) -> str:
        """Return the titles of the columns."""
        first = f"  {'':<9}{'compared with':<{_NAME}}{'checked':>7}{'skipped':>9}{'rel. error':>12}"
        second = f"{'at most':>8}  {'at':<12}{self.own:>14}{'derivation':>15}"
        return first + (f" {second}" if self.wide else f"\n{'':<9}{second}")

    def line(self, row: Comparison) -> str:
        """Return one comparison."""
        mark = " " if row.agrees else "!"
        first = f"{mark} {name_of(row):<9}{row.derivation:<{_NAME}}{row.checked:>7}{row.apart:>9}"
        if row.checked:
            first += f"{row.relative_error:>12.1e}"
            place = f"{row.tolerance:>8g}  {place_of(row):<12}"
            numbers = f"{row.engine_value:>14.6e}{row.other_value:>15.6e}"
        else:
            first += f"{'-':>12}"
            place = f"{'-':>8}  {'-':<12}"
            numbers = f"{'-':>14}{'-':>15}"
        return first + (f" {place}{numbers}" if self.wide else f"\n{'':<9}{place}{numbers}")


def about(checked: Checked, what: str) -> str:
    """Return the lines above a table: what is checked, on what, and what counts as agreement."""
    examples = "1 example" if checked.n_examples == 1 else f"{checked.n_examples} examples"
    line = f"{checked.engine}: {what}, on {examples}"
    if checked.left_out:
        line += f"; {checked.left_out} left out, within rounding of a kink of the loss"
    agreement = (
        "Numbers agree if their relative error is at most what their row allows. It is relative to "
        f"the sum of their sizes or, if larger, to {checked.floor:g} of the largest of their kind"
    )
    if checked.engine_floor not in (None, checked.floor):
        agreement += f" ({checked.engine_floor:g} against the engine)"
    agreement += "."
    return f"\n{wrapped(line)}\n{wrapped(agreement)}"


def name_of(row: Comparison) -> str:
    """Return what is compared: a value, a gradient, or what a step changes."""
    if row.parameter in ("W", "b") and row.cost != "step":
        return f"d{row.cost}/d{row.parameter}"
    return row.parameter


def place_of(row: Comparison) -> str:
    """Return the coordinate that is furthest off."""
    if row.worst is None or row.parameter[0] in "LJ":
        return "-"
    if row.parameter == "decision":
        return f"example {row.worst[0]}"
    return f"{row.parameter}[{', '.join(map(str, row.worst))}]"


def verdict(wrong: Sequence[Comparison], idle: Sequence[str]) -> str:
    """Return the last lines: which rows are wrong, and engines that nothing was compared with."""
    if not wrong and idle:
        names = " and ".join(idle)
        return wrapped(f"Nothing could be compared with {names}: take another training.seed.")
    if not wrong:
        return "The gradients agree."
    lines = ["The gradients DISAGREE:"]
    for row in wrong:
        name = f"the step of {row.parameter}" if row.cost == "step" else name_of(row)
        place = "" if place_of(row) == "-" else f", at {place_of(row)}"
        line = f"{row.engine}: {name} and the {row.derivation}{place}"
        lines.append(wrapped(line, "  "))
    return "\n".join(lines)
