"""Prints what is derived from the schema: ``python -m backprop_cli.config schema|reference``."""

import json
import sys
from typing import Any, get_args

from pydantic_core import PydanticUndefined

from backprop_cli.config.schema import SECTIONS, TAGS, VARIANTS, Config, Section


def schema_text() -> str:
    """Return the JSON schema of a config, shipped as backprop_cli/config/schema.json."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def reference_text() -> str:
    """Return the table of every key, docs/config.md."""
    lines = [
        "# The keys of a config",
        "",
        "Made from the schema by `python -m backprop_cli.config reference`; a test holds the two "
        "together.",
        "",
    ]
    for name, section in SECTIONS.items():
        lines += _section(f"`{name}`" if name else "At the top", section)
    for name, variants in VARIANTS.items():
        for tag, section in variants.items():
            lines += _section(f"`{name}` with `{TAGS[name]}: {tag}`", section)
    return "\n".join(lines)


def _section(title: str, section: type[Section]) -> list[str]:
    lines = [f"## {title}", "", section.__doc__ or "", ""]
    lines += ["| key | default | meaning |", "|---|---|---|"]
    for key, field in section.model_fields.items():
        default = "" if field.default is PydanticUndefined else f"`{_yaml(field.default)}`"
        meaning = field.description or ""
        types = [field.annotation, *get_args(field.annotation)]
        choices = [a for t in types for a in get_args(t) if isinstance(a, str | int)]
        choices += [a for a in get_args(field.annotation) if isinstance(a, str | int)]
        if choices and key not in TAGS.values():
            meaning = " or ".join(f"`{c}`" for c in dict.fromkeys(choices)) + f". {meaning}"
        lines.append(f"| `{key}` | {default} | {meaning.strip()} |")
    return [*lines, ""]


def _yaml(value: Any) -> str:
    if isinstance(value, Section):
        tag = value.model_dump().get("kind")
        return f"{{kind: {tag}}}" if tag else "{}"
    return json.dumps(value).strip('"')


if __name__ == "__main__":
    print({"schema": schema_text, "reference": reference_text}[sys.argv[1]](), end="")
