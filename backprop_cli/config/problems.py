"""Turns the errors of pydantic into one line per problem: place, key, expected, found."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from backprop_cli.config.schema import SECTIONS, TAGS, VARIANTS
from backprop_cli.config.section import Section
from backprop_cli.config.source import MAX_PROBLEMS, Path

_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping of keys",
    "model_type": "a mapping of keys",
    "model_attributes_type": "a mapping of keys",
    "string_too_short": "text that is not empty",
    "too_short": "a list that is not empty",
}
_OWN = ("part", "path", "classes", "class_weights", "number", "threads", "epochs", "rate")
_SHORT = {
    "softmax": "softmax_cross_entropy", "cross_entropy": "softmax_cross_entropy",
    "svm": "multiclass_svm", "hinge": "multiclass_svm", "lr": "learning_rate",
    "eta": "learning_rate", "n_epochs": "epochs", "lambda": "l2", "lam": "l2",
}  # fmt: skip
"""Short names of others, by what is meant."""
_OF_TRAINING = ("learning_rate", "epochs", "batch_size", "momentum")
_COMMA = re.compile(r"-?\d+,\d+")
_BOUNDS = {
    "greater_than_equal": ("ge", ">="),
    "greater_than": ("gt", ">"),
    "less_than_equal": ("le", "<="),
    "less_than": ("lt", "<"),
}


def describe(error: ValidationError, raw: Any, origins: Mapping[Path, str]) -> list[str]:
    """Return one line for each problem.

    Parameters
    ----------
    error
        The error that validating ``raw`` raised.
    raw
        The mapping that was read.
    origins
        The origin of each key: path -> ``file:line`` or the override. The empty path stands for the
        whole file.
    """
    lines: list[str] = []
    found = error.errors(include_url=False)
    for details in found[:MAX_PROBLEMS]:
        if details["type"] == "combinations":
            for key, message in details["ctx"]["mistakes"].items():
                lines.append(f"{_origin(tuple(key.split('.')), origins)}: {key}: {message}")
        else:
            path = _path(details, raw)
            lines.append(f"{_origin(path, origins)}: {_message(details, path, raw)}")
    more = len(found) - MAX_PROBLEMS
    return [*lines, f"{_origin((), origins)}: and {more} more problems"] if more > 0 else lines


def first_problem(error: ValidationError) -> str:
    """Return the first problem of what a program has written: key, expected, found."""
    details = error.errors(include_url=False)[0]
    path = details["loc"]
    if details["type"] == "json_invalid":
        return f"expected JSON: {details['ctx']['error']}"
    if details["type"] == "extra_forbidden":
        return f"{'.'.join(map(str, path))}: unknown key"
    if details["type"] == "combinations":
        key, message = next(iter(details["ctx"]["mistakes"].items()))
        return f"{'.'.join(map(str, (*path, key)))}: {message}"
    return _message(details, path, None)


def _path(details: ErrorDetails, raw: Any) -> Path:
    """Return the path of an error in the file.

    That is the path that pydantic gives, without the tags that it inserts after the sections of
    `VARIANTS`.
    """
    path: Path = ()
    section = ""  # the section whose tag was skipped; a key of the same name is kept
    for part in details["loc"]:
        dotted = ".".join(map(str, path))
        if dotted in TAGS and dotted != section and part == _get(raw, (*path, TAGS[dotted])):
            section = dotted
        else:
            path = (*path, part)
    if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = _tag_path(path, raw)
    return path


def _tag_path(section: Path, raw: Any) -> Path:
    """Return the path of a section's tag, or of the key that is a misspelling of it."""
    tag, keys = TAGS[".".join(map(str, section))], _get(raw, section)
    if tag not in keys:
        near = difflib.get_close_matches(tag, [key for key in keys if isinstance(key, str)], n=1)
        return (*section, *near) if near else (*section, tag)
    return (*section, tag)


def _get(value: Any, path: Path) -> Any:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _origin(path: Path, origins: Mapping[Path, str]) -> str:
    while path not in origins:
        path = path[:-1]
    return origins[path]


def _message(details: ErrorDetails, path: Path, raw: Any) -> str:
    key = ".".join(map(str, path))
    kind, ctx = details["type"], details.get("ctx", {})
    found = _shown(details["input"])
    if kind == "extra_forbidden":
        return f"{key}: unknown key; {_nearest(path, raw)}"
    if kind == "missing":
        return f"{key}: expected this key, found none"
    if kind in ("union_tag_invalid", "union_tag_not_found") and raw is not None:
        section = ".".join(map(str, path[:-1]))
        if path[-1] != TAGS[section]:
            return f"{key}: unknown key; did you mean {TAGS[section]!r}?"
        names = list(VARIANTS[section])
        given = _get(raw, path)
        found = "none" if given is None else _shown(given) + _did_you_mean(str(given), names)
        return f"{key}: expected one of {', '.join(names)}, found {found}"
    if kind in ("literal_error", "choice"):
        names = ctx["names"] if kind == "choice" else _literal_names(ctx["expected"])
        near = _did_you_mean(_SHORT.get(str(details["input"]), str(details["input"])), names)
        return f"{key}: expected {_one_of(names)}, found {found}{near}"
    if kind in _BOUNDS:
        name, sign = _BOUNDS[kind]
        return f"{key}: expected a number {sign} {ctx[name]}, found {found}"
    if kind in _OWN:
        return f"{key}: {details['msg']}, found {found}"
    if kind in _EXPECTED:
        where = f"{key}: " if key else ""
        return f"{where}expected {_EXPECTED[kind]}, found {found}{_with_point(details['input'])}"
    return f"{key}: {details['msg']}" if key else details["msg"]


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _with_point(value: Any) -> str:
    """Return a number with a decimal comma as it should be written, if it is one."""
    if isinstance(value, str) and _COMMA.fullmatch(value):
        return f"; write {value.replace(',', '.')}"
    return ""


def _literal_names(text: str) -> list[str]:
    """Return the names in pydantic's text of a Literal, ``'a', 'b' or 'c'``."""
    return text.replace("'", "").replace(" or ", ", ").split(", ")


def _one_of(names: Sequence[str]) -> str:
    """Return ``a, b or c``."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _did_you_mean(word: str, choices: list[str]) -> str:
    near = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _nearest(path: Path, raw: Any) -> str:
    """Suggest a key: a similar one of the same section, or of another one."""
    parent, word = ".".join(map(str, path[:-1])), str(path[-1])
    if word.isdigit() and _get(raw, path) is None and parent:  # {learning_rate: 0,01}
        return "a number takes a decimal point, not a comma"
    word = _SHORT.get(word, word)
    if word in _OF_TRAINING and parent != "training":
        return f"did you mean 'training.{word}'?"
    siblings = _section_keys(parent, raw)
    near = difflib.get_close_matches(word, siblings, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    every = dict(_dotted_keys(raw))
    near = difflib.get_close_matches(word, list(every), n=1)
    if near:
        return f"did you mean {every[near[0]]!r}?"
    return f"expected one of {', '.join(siblings)}"


def _section(name: str, raw: Any) -> type[Section] | None:
    if name in VARIANTS:
        tag = _get(raw, (*name.split("."), TAGS[name]))
        return VARIANTS[name].get(str(tag))
    return SECTIONS.get(name)


def _section_keys(name: str, raw: Any) -> list[str]:
    section = _section(name, raw)
    return list(section.model_fields) if section else []


def _dotted_keys(raw: Any) -> Iterator[tuple[str, str]]:
    """Yield every key of the config as (key, dotted name)."""
    for name in (*SECTIONS, *VARIANTS):
        for key in _section_keys(name, raw):
            yield key, f"{name}.{key}" if name else key
