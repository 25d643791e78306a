"""What the documents show is true: their snippets run, their tables match, their links lead on."""

import pathlib
import re
from typing import Any

import pytest

from backprop_cli.cli.main import cli
from backprop_cli.config.__main__ import reference_text
from backprop_cli.config.schema import SECTIONS, VARIANTS

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize(("page", "at_least"), [("equations.md", 10), ("python.md", 5)])
def test_snippets_run(page, at_least):
    text = (ROOT / "docs" / page).read_text("utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(snippets) >= at_least
    session: dict[str, Any] = {}
    for number, snippet in enumerate(snippets, 1):
        exec(compile(snippet, f"{page}, snippet {number}", "exec"), session)  # noqa: S102 - the point of the test


def test_the_table_of_keys_is_the_schemas():
    assert (ROOT / "docs" / "config.md").read_text("utf-8") == reference_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_every_key_is_described():
    for section in [*SECTIONS.values(), *(s for v in VARIANTS.values() for s in v.values())]:
        for key, field in section.model_fields.items():
            assert field.description, (section.__name__, key)


@pytest.mark.parametrize("page", ["README.md", "docs/commands.md"])
def test_every_command_is_named(page):
    text = (ROOT / page).read_text("utf-8")
    assert [name for name in cli.list_commands(None) if f"`backprop {name}" not in text] == []


def test_every_option_has_help():
    for name in cli.list_commands(None):
        for parameter in cli.get_command(None, name).params:
            if parameter.param_type_name == "option":
                assert parameter.help, (name, parameter.name)
