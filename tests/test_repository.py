"""The repository holds what belongs there: no stray files, no large ones, no long modules.

The tree is walked, leaving out what .gitignore names, so that this runs without git as well: in
an exported tree, or in an unpacked source distribution.
"""

import fnmatch
import functools
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
MAX_LINES = 400
MAX_BYTES = 1_000_000

FILES_AT_THE_ROOT = {
    ".git",  # a worktree has a file of that name
    ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE",
    "PKG-INFO",  # of a source distribution
    "README.md", "SECURITY.md", "mkdocs.yml", "pyproject.toml",
}  # fmt: skip
SUFFIXES = {
    ".ci": {""},
    "backprop_cli": {".css", ".html", ".js", ".json", ".py", ".typed"},
    "benchmarks": {".py", ".txt"},
    "configs": {".md", ".yaml"},
    "data": {".md"},
    "docs": {".css", ".ipynb", ".md", ".png", ".py"},
    "tests": {".py"},
}


def ignored(path):
    """Whether .gitignore names ``path``: a pattern with a slash from the root, others anywhere."""
    relative = path.relative_to(ROOT).as_posix()
    for line in (ROOT / ".gitignore").read_text("utf-8").splitlines():
        pattern = line.rstrip("/")
        if "/" in pattern:
            matches = fnmatch.fnmatchcase(relative, pattern.removeprefix("/"))
        else:
            matches = fnmatch.fnmatchcase(path.name, pattern)
        if matches:
            return True
    return False


def walk(folder):
    for path in folder.iterdir():
        if path == ROOT / ".git" or ignored(path):
            continue
        if path.is_dir():
            yield from walk(path)
        else:
            yield path


@functools.cache
def files():
    return sorted(walk(ROOT))


def names(paths):
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_no_file_is_stray():
    def belongs(path):
        folder, *inside = path.relative_to(ROOT).parts
        if not inside:
            return folder in FILES_AT_THE_ROOT
        return path.suffix in SUFFIXES.get(folder, ())

    stray = names(path for path in files() if not belongs(path))
    assert not stray, stray


def test_no_module_is_ignored():
    """An ignored one would be missing from a commit, from a wheel, and from the linter's eyes."""
    modules = {
        path
        for folder in ("backprop_cli", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    missing = names(modules - set(files()))
    assert not missing, missing


def test_modules_are_short():
    modules = [path for path in files() if path.suffix == ".py"]
    assert len(modules) > 100
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in modules}
    long = names(path for path, length in lengths.items() if length > MAX_LINES)
    assert not long, long


def test_files_are_small():
    large = names(path for path in files() if path.stat().st_size > MAX_BYTES)
    assert not large, large
