"""A YAML file and overrides to a checked `Config`."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from backprop_cli.config.problems import describe
from backprop_cli.config.schema import Config
from backprop_cli.config.source import MAX_BYTES, Path, dump, parse
from backprop_cli.errors import ConfigError, printable


def load_config(file: str | pathlib.Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file, apply the overrides, check everything.

    Parameters
    ----------
    file
        A YAML file.
    overrides
        ``dotted.key=value`` each, the value in YAML; a later one wins.

    Raises
    ------
    ConfigError
        All problems of the file at once, one line each.
    """
    return check_config(read_config(file), str(file), overrides)


def read_config(file: str | pathlib.Path) -> bytes:
    """Return a config file's text, unchecked.

    Raises
    ------
    ConfigError
        It cannot be read.
    """
    try:
        with pathlib.Path(file).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(printable(f"{file}: cannot read the config: {why}")) from error


def check_config(
    text: str | bytes,
    name: str,
    overrides: Sequence[str] = (),
    setting: Mapping[str, Any] | None = None,
) -> Config:
    """Check a config's YAML text; ``name`` stands for it in messages. See `load_config`.

    ``setting`` has values of dotted keys that a sweep gives, over all others.
    """
    name = printable(name)
    source = parse(text, name)
    if not isinstance(source.value, dict):
        found = "nothing" if source.value is None else type(source.value).__name__
        raise ConfigError(f"{name}:1: expected a mapping of keys, found {found}")
    origins: dict[Path, str] = {(): f"{name}:1"}
    origins.update({path: f"{name}:{line}" for path, line in source.lines.items()})
    problems = list(source.problems)
    for override in overrides:
        _apply(override, source.value, origins, problems)
    given = ", ".join(f"{key}={json.dumps(value)}" for key, value in (setting or {}).items())
    for key, value in (setting or {}).items():
        label = printable(f"sweep of {given}")
        _set(tuple(key.split(".")), value, label, source.value, origins, problems)
    try:
        config = Config.model_validate(source.value)
    except ValidationError as error:
        problems += describe(error, source.value, origins)
    if problems:
        raise ConfigError("\n".join(map(printable, problems)))
    return config


def _apply(
    override: str, value: dict[str, Any], origins: dict[Path, str], problems: list[str]
) -> None:
    """Set one dotted key of ``value`` in place."""
    key, equals, text = override.partition("=")
    path: Path = tuple(key.strip().split("."))
    label = printable(f"--set {override}")
    if not equals or "" in path:
        problems.append(f"{label}: expected KEY=VALUE, as in training.epochs=10")
        return
    try:
        parsed = parse(text, label)
    except ConfigError as error:
        problems.append(str(error))
        return
    problems += parsed.problems
    _set(path, parsed.value, label, value, origins, problems)


def _set(
    path: Path,
    new: Any,
    label: str,
    value: dict[str, Any],
    origins: dict[Path, str],
    problems: list[str],
) -> None:
    section = value
    for part in path[:-1]:
        inner = section.get(str(part))
        if inner is None:  # not there, or null as in a run's own config
            inner = section[str(part)] = {}
        if not isinstance(inner, dict):
            problems.append(f"{label}: {part} is no mapping, so it has no key {path[-1]!r}")
            return
        section = inner
    section[str(path[-1])] = new
    for other in [other for other in origins if other[: len(path)] == path]:
        del origins[other]  # what it replaces, however deep
    for length in range(1, len(path) + 1):
        origins.setdefault(path[:length], label)


def parse_values(text: str, label: str) -> list[Any]:
    """Return the values of a list without its brackets, ``1e-3, {kind: cosine}``.

    Raises
    ------
    ConfigError
        It is none; ``label`` stands for the text.
    """
    parsed = parse(f"[{text}]", label)
    if parsed.problems:
        raise ConfigError(printable(parsed.problems[0]))
    if not isinstance(parsed.value, list) or not parsed.value:
        raise ConfigError(f"{label}: expected values, found none")
    return parsed.value


def config_text(config: Config) -> str:
    """Return the complete config as YAML: reading it gives the same config."""
    return dump(config.to_mapping())
