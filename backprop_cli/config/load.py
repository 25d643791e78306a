"""Turns a YAML file and overrides into a checked `Config`."""

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
from backprop_cli.regular import read_regular


def load_config(file: str | pathlib.Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file, apply the overrides and check the result.

    Parameters
    ----------
    file
        A YAML file.
    overrides
        Texts ``dotted.key=value`` with the value in YAML; the last one for a key wins.

    Raises
    ------
    ConfigError
        With one line for each problem of the file and the overrides.
    """
    return check_config(read_config(file), str(file), overrides)


def read_config(file: str | pathlib.Path) -> bytes:
    """Return the content of a config file, unchecked.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    try:
        return read_regular(file, MAX_BYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(printable(f"{file}: cannot read the config: {why}")) from error


def check_config(
    text: str | bytes,
    name: str,
    overrides: Sequence[str] = (),
    setting: Mapping[str, Any] | None = None,
) -> Config:
    """Check the YAML text of a config; see `load_config`.

    Parameters
    ----------
    text
        The YAML text.
    name
        What messages call it.
    overrides
        As in `load_config`.
    setting
        Values of dotted keys that a sweep sets, which take precedence over all others.

    Raises
    ------
    ConfigError
        With one line for each problem.
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
        raise ConfigError(*problems)
    return config


def _apply(
    override: str, value: dict[str, Any], origins: dict[Path, str], problems: list[str]
) -> None:
    """Apply one ``dotted.key=value`` to ``value``, in place."""
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
    """Set a key of ``value`` in place, and make ``label`` its origin in messages."""
    section = value
    for part in path[:-1]:
        inner = section.get(str(part))
        if inner is None:  # missing, or null as in the config of a run
            inner = section[str(part)] = {}
        if not isinstance(inner, dict):
            problems.append(f"{label}: {part} is not a mapping, so it has no key {path[-1]!r}")
            return
        section = inner
    section[str(path[-1])] = new
    for other in [other for other in origins if other[: len(path)] == path]:
        del origins[other]  # the keys that are replaced, at any depth
    for length in range(1, len(path) + 1):
        origins.setdefault(path[:length], label)


def parse_values(text: str, label: str) -> list[Any]:
    """Return the values of a YAML list without its brackets, as in ``1e-3, {kind: cosine}``.

    Raises
    ------
    ConfigError
        If the text is not such a list; the message begins with ``label``.
    """
    parsed = parse(f"[{text}]", label)
    if parsed.problems:
        raise ConfigError(printable(parsed.problems[0]))
    if not isinstance(parsed.value, list) or not parsed.value:
        raise ConfigError(f"{label}: expected values, found none")
    return parsed.value


def config_text(config: Config) -> str:
    """Return the complete config as YAML text, which reads back as the same config."""
    return dump(config.to_mapping())
