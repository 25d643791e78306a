"""The site builds without a warning, its tutorials run, and so do the notebooks."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from backprop_cli import api
from tests.command import call

ROOT = pathlib.Path(__file__).parents[2]
TUTORIALS = ["first-classifier.md", "linear-probe.md", "streaming.md"]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_site_builds(tmp_path):
    pytest.importorskip("material", reason="needs the extra: docs")
    pytest.importorskip("mkdocstrings", reason="needs the extra: docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    page = (tmp_path / "site" / "api" / "index.html").read_text("utf-8")
    for name in (*api.__all__, "LinearClassifier", "MiniBatchDescent"):
        assert f"{name}</" in page or f'{name}"' in page, name


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages == set(re.findall(r": (\S+\.md)$", text, re.MULTILINE))


def commands(block):
    """Return the arguments of the lines of a block that call the program."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "backprop":
            yield words[1:]


@pytest.mark.parametrize("page", TUTORIALS)
def test_tutorials_run(page, tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    preset = (ROOT / "configs" / "quickstart.yaml").read_text("utf-8")
    small = preset.replace(" 12000", " 3000\n  size: 12").replace(" 2000", " 300")
    (tmp_path / "configs" / "quickstart.yaml").write_text(small, "utf-8")
    monkeypatch.chdir(tmp_path)
    ran = 0
    for language, block in BLOCK.findall((ROOT / "docs" / page).read_text("utf-8")):
        if language == "python":
            exec(compile(block, page, "exec"), {})  # noqa: S102 - the point of the test
        for file, text in re.findall(r"^cat > (\S+) <<'END'\n(.*?)^END$", block, re.M | re.S):
            pathlib.Path(file).write_text(text, "utf-8")
        for arguments in commands(block):
            assert call(*arguments) == 0, arguments
            ran += 1
    assert ran >= 5


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")),
                         ids=lambda path: path.name)  # fmt: skip
def test_notebooks_run(path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("sklearn", reason="needs the extra: sklearn")
    notebook = nbformat.read(path, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "saved with its outputs"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(env=environment)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert shown
    assert not [output for output in shown if output.get("name") == "stderr"]
