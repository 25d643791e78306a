"""Print what is generated from the schema: ``python -m backprop_cli.config schema|reference``."""

import inspect
import json
import sys
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from backprop_cli.config.schema import SECTIONS, TAGS, VARIANTS, Config
from backprop_cli.config.section import Section
from backprop_cli.config.values import Choice


def schema_text() -> str:
    """Return the JSON schema of a config, which is shipped as backprop_cli/config/schema.json."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference_text() -> str:
    """Return tables of all keys, which are docs/config.md."""
    lines = [
        "# The keys of a config",
        "",
        "Generated from the schema by `python -m backprop_cli.config reference`; a test compares "
        "the two.",
        "",
    ]
    for name, section in SECTIONS.items():
        lines += _section(f"`{name}`" if name else "At the top", section)
    for name, variants in VARIANTS.items():
        for tag, section in variants.items():
            lines += _section(f"`{name}` with `{TAGS[name]}: {tag}`", section)
    return "\n".join(lines)


def _section(title: str, section: type[Section]) -> list[str]:
    lines = [f"## {title}", "", inspect.getdoc(section) or "", ""]
    lines += ["| key | default | meaning |", "|---|---|---|"]
    for key, field in section.model_fields.items():
        default = "" if field.default is PydanticUndefined else f"`{_yaml(field.default)}`"
        meaning = field.description or ""
        choices = _choices(field)
        if choices and key not in TAGS.values():
            *others, last = [f"`{choice}`" for choice in choices]
            meaning = (f"{', '.join(others)} or " if others else "") + f"{last}. {meaning}"
        lines.append(f"| `{key}` | {default} | {meaning.strip()} |")
    return [*lines, ""]


def _choices(field: FieldInfo) -> list[str | int]:
    """Return the literal values that a key accepts, if any."""
    types = [field.annotation, *get_args(field.annotation)]
    found = [a for t in types for a in get_args(t) if isinstance(a, str | int)]
    for marker in field.metadata:
        if isinstance(marker, Choice):
            found += marker.names()
    return list(dict.fromkeys(found))


def _yaml(value: Any) -> str:
    if isinstance(value, Section):
        tag = value.model_dump().get("kind")
        return f"{{kind: {tag}}}" if tag else "{}"
    return json.dumps(value).strip('"')


if __name__ == "__main__":
    print({"schema": schema_text, "reference": reference_text}[sys.argv[1]](), end="")
