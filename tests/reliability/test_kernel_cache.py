"""A cache of compiled kernels that is damaged, or cannot be written: training goes on."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("numba", reason="needs the extra: fast")
from backprop_cli.engine import kernels
from backprop_cli.engine.kernels import cache
from backprop_cli.engine.kernels.losses import COMPILED
from backprop_cli.losses import LOSSES

CONFIG = """\
data: {format: synthetic, examples: 300, size: 6}
training: {epochs: 1}
compute: {backend: compiled, threads: 1}
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache that was written by a run, and that run's model."""
    folder = tmp_path_factory.mktemp("warm")
    assert train(folder, folder / "cache") == ""
    assert list(folder.glob("cache/backprop/*/*/*.nbc"))
    return folder


def train(folder, cache, variable="XDG_CACHE_HOME", config=CONFIG):
    """Return what was said on stderr, but for the notice that kernels are compiled."""
    (folder / "c.yaml").write_text(config)
    done = subprocess.run(
        [sys.executable, "-m", "backprop_cli", "train", "--config", str(folder / "c.yaml"),
         "--output", str(folder / "run")],
        env={**os.environ, variable: str(cache)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return "".join(
        line for line in done.stderr.splitlines() if not line.startswith("Compiling kernels")
    )


def test_the_run_that_compiles_gives_the_bits_of_later_ones(tmp_path):
    """Where compiled code shared functions with what was compiled before it, they rounded apart.

    Only loops over many classes did.
    """
    config = CONFIG.replace("examples: 300", "examples: 700, classes: 100")
    models = []
    for _ in range(2):
        train(tmp_path, tmp_path / "cache", config=config)
        models.append((tmp_path / "run" / "model.safetensors").read_bytes())
        shutil.rmtree(tmp_path / "run")
    assert models[0] == models[1]


def damage(kind, cache):
    code, index = (sorted(cache.glob(f"backprop/*/*/*.{end}")) for end in ("nbc", "nbi"))
    for path in {"index": index, "code": code, "cut": code, "folder": code}[kind]:
        content = path.read_bytes()
        path.unlink()
        if kind == "folder":
            path.mkdir()
        else:
            path.write_bytes(content[:100] if kind == "cut" else b"&" * 200)


@pytest.mark.parametrize("kind", ["index", "code", "cut", "folder"])
def test_a_damaged_cache_is_made_anew(warm, tmp_path, kind):
    shutil.copytree(warm / "cache", tmp_path / "cache")
    damage(kind, tmp_path / "cache")
    assert train(tmp_path, tmp_path / "cache") == ""
    models = [(folder / "run" / "model.safetensors").read_bytes() for folder in (warm, tmp_path)]
    assert models[0] == models[1]


def test_a_cache_that_cannot_be_written_is_read_and_nothing_is_left_elsewhere(
    warm, tmp_path, monkeypatch
):
    """Without the right to write, which root has everywhere: as if the system said so."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nallowed = os.access\n"
        "os.access = lambda path, mode, **k: mode != os.W_OK and allowed(path, mode, **k)\n"
    )
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    before = {path: path.stat().st_mtime_ns for path in warm.glob("cache/**/*")}
    assert train(tmp_path, warm / "cache") == ""
    assert {path: path.stat().st_mtime_ns for path in warm.glob("cache/**/*")} == before
    assert not list(pathlib.Path(tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("writable", [True, False])
def test_numbas_own_variable_names_the_place_too(warm, tmp_path, writable):
    """With a folder for each version of the kernels, and nothing beside the sources."""
    sources = pathlib.Path(kernels.__file__).parent
    before = set(sources.rglob("*.nb?"))
    place = tmp_path / "cache" if writable else pathlib.Path("/proc/none")
    train(tmp_path, place, "NUMBA_CACHE_DIR")
    assert bool(list(tmp_path.glob("cache/backprop/*/*/*.nbc"))) == writable
    assert set(sources.rglob("*.nb?")) == before


def test_losses_of_other_numbers_have_a_folder_of_their_own(tmp_path, monkeypatch):
    """Compiled code knows a loss by its number; with a loss before it, the number is another."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache._folder.__wrapped__  # what is asked for once per process
    names = COMPILED
    before = folder()
    assert folder() == before
    folders = [before]
    for other in (names[::-1], names[:1], names[1:]):
        monkeypatch.setattr(cache, "COMPILED", other)
        folders.append(folder())
    monkeypatch.setattr(cache, "COMPILED", names)
    kernel = LOSSES[names[1]].kernel
    monkeypatch.setitem(LOSSES, names[0], dataclasses.replace(LOSSES[names[0]], kernel=kernel))
    folders.append(folder())
    assert len(set(folders)) == 5
    assert {pathlib.Path(path).parent for path in folders} == {tmp_path / "backprop"}
