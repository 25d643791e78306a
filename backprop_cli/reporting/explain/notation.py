"""Formulas of the graph, ``∂z/∂W = I_C ⊗ xᵀ``, for a terminal and for a page."""

from __future__ import annotations

import html
import re
from collections.abc import Collection

_MAX_NAME_LENGTH = 40
_NAME = "[A-Za-zλ][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*"
_TOKEN = re.compile(
    r"(?P<sign>1(?=ᵀ)|ᵀ|²|⁻¹|&\w+;)"
    rf"|∂(?P<above>{_NAME})/∂(?P<below>{_NAME})"
    rf"|(?P<name>{_NAME})(?P<indices>[ᵢⱼ]*)"
)
_SIGNS = {
    "1": "<b>1</b>",  # the vector of ones
    "ᵀ": "<sup>T</sup>",
    "²": "<sup>2</sup>",
    "⁻¹": "<sup>−1</sup>",
}
_INDICES = {"ᵢ": "i", "ⱼ": "j"}


def plain(formula: str) -> str:
    """Return a formula or a sentence as a terminal shows it."""
    return formula.replace("lambda", "λ")


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as text, such as ``10 × 3072``. A single number is ``1``."""
    return " × ".join(map(str, shape)) or "1"


def counted(number: int, thing: str) -> str:
    """Return a count with its noun, such as ``1 coordinate`` or ``30,720 coordinates``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def printable(text: str) -> str:
    """Return text that is safe to print in a terminal."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def shortened(name: str) -> str:
    """Return the name of a class that is safe to print, and not too long."""
    name = printable(name)
    return name if len(name) <= _MAX_NAME_LENGTH else name[: _MAX_NAME_LENGTH - 1] + "…"


def typeset(formula: str, vectors: Collection[str], *, display: bool = False) -> str:
    """Return a formula as HTML: vectors bold, other letters italic, words upright.

    Parameters
    ----------
    formula
        The formula, as the graph writes it.
    vectors
        The names of the vectors in it.
    display
        Set derivatives as tall fractions, for a formula that stands alone.
    """

    def quantity(name: str) -> str:
        if name in vectors:
            return f"<b>{name}</b>"
        letter, _, index = name.partition("_")
        if index:  # an entry of a vector or of a matrix is a number
            return f"<i>{letter}</i><sub><i>{index}</i></sub>"
        return f"<i>{name}</i>" if len(name) == 1 else name

    def token(match: re.Match[str]) -> str:
        if match["above"]:
            above, below = f"∂{quantity(match['above'])}", f"∂{quantity(match['below'])}"
            if not display:
                return f"{above}/{below}"
            return (
                f'<span class="frac"><span>{above}</span><span class="hidden">/</span>'
                f"<span>{below}</span></span>"
            )
        if sign := match["sign"]:
            return _SIGNS.get(sign, sign)
        if match["indices"]:
            index = "".join(_INDICES[sign] for sign in match["indices"])
            return f"<i>{match['name']}</i><sub><i>{index}</i></sub>"
        return quantity(match["name"])

    text = plain(formula)
    body = _TOKEN.sub(token, html.escape(text, quote=False))
    return f'<span class="math" role="math" aria-label="{html.escape(text)}">{body}</span>'
