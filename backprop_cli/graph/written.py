"""An expression as a user writes it, in Python's words, and the way back to what was written."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Container
from dataclasses import dataclass, field

_OPERAND_ENDS = (tokenize.NAME, tokenize.NUMBER)
_WORDS = {"^": "**", "lambda": "λ"}  # what is another word in Python
_Place = tuple[int, int]  # line and column


@dataclass(frozen=True)
class Written:
    """An expression in Python's words.

    Attributes
    ----------
    python
        The expression with ``**`` for ``^`` and a sign for every product.
    """

    python: str
    _lines: list[str]
    _starts: dict[_Place, _Place] = field(default_factory=dict)
    _ends: dict[_Place, _Place] = field(default_factory=dict)

    def part(self, tree: ast.expr) -> str:
        """Return what was written for a part of the expression, in one line."""
        start = self._starts.get((tree.lineno, tree.col_offset))
        end = self._ends.get((tree.end_lineno or 0, tree.end_col_offset or 0))
        if start is None or end is None:  # a line break that Python counts in one place only
            return ast.unparse(tree)
        (row, first), (end_row, last) = start, end
        if row == end_row:
            return self._lines[row - 1][first:last]
        between = self._lines[row : end_row - 1]
        parts = [self._lines[row - 1][first:], *between, self._lines[end_row - 1][:last]]
        return " ".join(" ".join(parts).split())


def written(text: str, functions: Container[str]) -> Written:
    """Read an expression.

    Parameters
    ----------
    text
        What the user wrote.
    functions
        The names after which a parenthesis is a call.

    Raises
    ------
    SyntaxError, ValueError, tokenize.TokenError
        It is no expression.
    """
    plain = text.replace("·", "*").replace("−", "-")  # as long
    lines = [""]
    starts: dict[_Place, _Place] = {}
    ends: dict[_Place, _Place] = {}
    before: tokenize.TokenInfo | None = None

    def place() -> _Place:
        return len(lines), len(lines[-1].encode())  # in bytes, as in `ast`

    for token in tokenize.generate_tokens(io.StringIO(plain).readline):
        if token.type in (tokenize.NEWLINE, tokenize.NL):
            lines += [""] if lines != [""] else []
            before = None
            continue
        if token.type in (tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT):
            continue
        ended = before is not None and (before.type in _OPERAND_ENDS or before.string == ")")
        begins = token.type in _OPERAND_ENDS or token.string == "("
        call = before is not None and token.string == "(" and before.type == tokenize.NAME
        if ended and begins and not (call and _calls(before, token, functions)):
            lines[-1] += " *"
        lines[-1] += " " if lines[-1] else ""
        starts[place()] = token.start
        lines[-1] += _WORDS.get(token.string, token.string)
        ends[place()] = token.end
        before = token
    return Written("\n".join(lines).strip(), text.split("\n"), starts, ends)


def _calls(
    before: tokenize.TokenInfo | None, token: tokenize.TokenInfo, functions: Container[str]
) -> bool:
    """Say whether a name before a parenthesis is called; f(x) is, so that an error names f."""
    return before is not None and (before.string in functions or before.end == token.start)
