"""What the pages name is there: functions behind links, and files in the tables."""

import ast
import pathlib
import re
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
NAMED_LINK = re.compile(r"\[`([^`]+)`\]\(([^)#:]+\.py)\)")
ENTRY = re.compile(r'(\w+)\["(\w+)"\]')


def defined_in(module):
    """Return the names that a module defines: f, Class.method, CONSTANT, TABLE["key"].

    The module is parsed, not imported: kernels can be looked up without numba. The keys of a table
    are the first arguments of the calls that make its entries.
    """
    tree = ast.parse(module.read_text("utf-8"))
    names, keys = set(), set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{f.name}" for f in node.body if isinstance(f, ast.FunctionDef)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            keys.add(node.args[0].value)
    return names, keys


def is_defined(name, module):
    names, keys = defined_in(module)
    entry = ENTRY.fullmatch(name)
    if entry:
        return entry[1] in names and entry[2] in keys
    return name in names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_names_are_defined(page):
    links = NAMED_LINK.findall(page.read_text("utf-8"))
    missing = [
        (name, file)
        for name, file in links
        if not name.endswith(".py") and not is_defined(name, page.parent / file)
    ]
    assert not missing


def test_the_check_finds_what_is_missing():
    operations = ROOT / "backprop_cli" / "graph" / "operations.py"
    engine = ROOT / "backprop_cli" / "engine" / "numpy_engine.py"
    assert is_defined('OPERATIONS["softmax"]', operations)
    assert not is_defined('OPERATIONS["sigmoidal"]', operations)
    assert not is_defined('TABLE["softmax"]', operations)
    assert is_defined("NumpyEngine.sums", engine)
    assert not is_defined("NumpyEngine.loss", engine)
    assert not is_defined("sums", engine)


def test_every_row_of_the_equations_leads_to_code_and_to_a_check():
    page = (ROOT / "docs" / "equations.md").read_text("utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    title, *rows = [row for row in rows if not row[0].startswith("| **")]
    assert len(rows) > 25
    for row in rows:
        assert len(row) == len(title), row[0]
        assert any("](" in cell for cell in row[1:4]), row[0]
        assert "](" in row[4], row[0]


def test_files_of_the_contributors_tables_exist():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    tables = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    paths = re.findall(r"\b((?:backprop_cli|tests|configs|docs)/[\w/.-]*)", tables)
    assert len(paths) > 30
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_rooms_are_the_layers_of_the_import_rules():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = page.split("| room |")[1].split("\n\n")[0]
    rows = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    layers = rules["contracts"][0]["layers"]
    assert [re.findall(r"`(\w+)`", row) for row in rows] == [layer.split(" | ") for layer in layers]
