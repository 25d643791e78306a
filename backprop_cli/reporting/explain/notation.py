"""Formulas of the graph, ``∂z/∂W = I_C ⊗ xᵀ``, for a terminal and for a page."""

from __future__ import annotations

import html
import re
from collections.abc import Collection

_TOKEN = re.compile(
    r"∂(?P<above>\w)/∂(?P<below>\w)"
    r"|(?P<ones>1)(?=ᵀ)"
    r"|(?P<word>[a-z]{2,})"
    r"|(?P<letter>[A-Za-zλ])(?:_(?P<index>\w))?(?P<indices>[ᵢⱼ]*)"
    r"|(?P<power>ᵀ|²|⁻¹)"
)
_POWERS = {"ᵀ": "T", "²": "2", "⁻¹": "−1"}
_INDICES = {"ᵢ": "i", "ⱼ": "j"}


def plain(formula: str) -> str:
    """Return a formula, or a sentence, as a terminal shows it."""
    return formula.replace("lambda", "λ")


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape: ``10 × 3072``; 1 for a single number."""
    return " × ".join(map(str, shape)) or "1"


def counted(number: int, thing: str) -> str:
    """Return a count with its noun: ``1 coordinate``, ``30,720 coordinates``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def typeset(formula: str, vectors: Collection[str], *, display: bool = False) -> str:
    """Return a formula as HTML: vectors bold, other letters italic.

    Parameters
    ----------
    formula
        As the graph writes it.
    vectors
        The names of its vectors.
    display
        Set derivatives as tall fractions, for a formula that stands alone.
    """

    def letter(name: str) -> str:
        return f"<b>{name}</b>" if name in vectors else f"<i>{name}</i>"

    def token(match: re.Match[str]) -> str:
        if match["above"]:
            above, below = f"∂{letter(match['above'])}", f"∂{letter(match['below'])}"
            if not display:
                return f"{above}/{below}"
            return (
                f'<span class="frac"><span>{above}</span><span class="hidden">/</span>'
                f"<span>{below}</span></span>"
            )
        if match["ones"]:
            return "<b>1</b>"
        if match["word"]:
            return match["word"]
        if match["power"]:
            return f"<sup>{_POWERS[match['power']]}</sup>"
        index = match["index"] or "".join(_INDICES[sign] for sign in match["indices"])
        if index:  # an entry of a vector or of a matrix is a number
            return f"<i>{match['letter']}</i><sub><i>{index}</i></sub>"
        return letter(match["letter"])

    text = plain(formula)
    body = _TOKEN.sub(token, html.escape(text, quote=False))
    return f'<span class="math" role="math" aria-label="{html.escape(text)}">{body}</span>'
