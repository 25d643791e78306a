"""Parses YAML text into plain values and remembers the line of every key.

Scalars follow YAML 1.2, so that ``1e-3`` is a number and ``no`` is a string; numbers are decimal.
Tags, anchors and aliases are refused: a config does not need them, and malicious YAML files do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

from backprop_cli.errors import ConfigError, printable
from backprop_cli.regular import utf_8_text

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 20  # longer integers become floats; Python refuses to convert 5000 digits
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_BOOLEANS["FALSE"] = False

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_VALUES = 50_000  # keys and values: twice what 10,000 classes with names and weights need
MAX_PROBLEMS = 20
"""More are counted, not described: each takes time to find a similar key for."""


@dataclass
class Source:
    """A parsed YAML text: its value, the line of each key, and the problems found."""

    name: str
    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass
class _Open:
    """A mapping or a list that is being read."""

    value: dict[str, Any] | list[Any]
    path: Path
    key: str | None = None
    seen: bool = False  # the pending key is a duplicate


def parse(text: str | bytes, name: str) -> Source:
    """Parse one YAML document.

    Raises
    ------
    ConfigError
        If the text is not YAML, or uses tags, anchors, aliases or deep nesting.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{name}: expected at most {MAX_BYTES} bytes, found {len(text)}")
    source = Source(name)
    try:
        if isinstance(text, bytes):
            text = utf_8_text(text)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    try:
        _read_events(source, text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(printable(f"{name}{line}: not valid YAML: {error.problem}")) from error
    except yaml.YAMLError as error:
        what = str(error).split("\n")[0]
        raise ConfigError(printable(f"{name}: not valid YAML: {what}")) from error
    return source


def _read_events(source: Source, text: str) -> None:
    """Fill ``source`` from the events of the parser, with an explicit stack, not by recursion."""
    stack: list[_Open] = []
    documents = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        where = f"{source.name}:{line}"
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise ConfigError(f"{where}: the tag {printable(tag)} is not allowed in a config")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ConfigError(f"{where}: expected one YAML document, found a second")
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(f"{where}: anchors and aliases are not allowed in a config")
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if values > MAX_VALUES:
                raise ConfigError(f"{where}: more than {MAX_VALUES} keys and values")
            top = stack[-1] if stack else None
            if top is not None and isinstance(top.value, dict) and top.key is None:
                _start_key(source, top, event.value, line)
            else:
                _place(source, stack, _scalar(event), line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(stack) >= MAX_DEPTH:
                raise ConfigError(f"{where}: nested more than {MAX_DEPTH} deep")
            if stack and isinstance(stack[-1].value, dict) and stack[-1].key is None:
                raise ConfigError(f"{where}: expected a string as a key, found a mapping or a list")
            new: dict[str, Any] | list[Any]
            new = {} if isinstance(event, yaml.MappingStartEvent) else []
            path = _place(source, stack, new, line)
            stack.append(_Open(new, path))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            stack.pop()


def _start_key(source: Source, top: _Open, key: str, line: int) -> None:
    top.key = key
    top.seen = key in top.value
    if top.seen:
        first = source.lines[(*top.path, key)]
        dotted = ".".join(map(str, (*top.path, key)))
        source.problems.append(
            f"{source.name}:{line}: {dotted}: duplicate key, first given in line {first}"
        )
    else:
        source.lines[(*top.path, key)] = line


def _place(source: Source, stack: list[_Open], value: Any, line: int) -> Path:
    """Add ``value`` to the innermost open mapping or list; return its path."""
    if not stack:
        source.value = value
        return ()
    top = stack[-1]
    if isinstance(top.value, list):
        path: Path = (*top.path, len(top.value))
        top.value.append(value)
        source.lines[path] = line
        return path
    key = cast("str", top.key)  # a key always comes before its value
    path = (*top.path, key)
    if not top.seen:
        top.value[key] = value
    top.key = None
    return path


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if not event.implicit[0]:  # quoted, or a block scalar
        return text
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= _MAX_DIGITS else float(text)
    if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _CoreDumper(yaml.SafeDumper):
    """Quotes every string that YAML 1.2 would read as another type."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_CoreDumper.add_representer(str, _represent_text)


for _pattern in (_INTEGER, _FLOAT):
    _CoreDumper.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(f"^(?:{_pattern.pattern})$"), list("-+.0123456789")
    )


def dump(value: Any) -> str:
    """Return ``value`` as YAML text that `parse` reads back to the same value."""
    return yaml.dump(value, Dumper=_CoreDumper, sort_keys=False, allow_unicode=True)
